"""The conformance kit as pytest tests: the whole test file of a plugin is ten lines."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from unlabeled.testing.subject import NotApplicable


class Row(NamedTuple):
    """One test: ``check(subject)``, its id, and why it fails, where that is expected."""

    subject: Any
    check: Callable[[Any], None]
    id: str
    expected: str | None


def parametrize_checks(domain: str, expected_failures: Mapping[str, str] | None = None) -> Any:
    """A decorator that makes a test ``(domain, check)`` run once for each check::

        @parametrize_checks("seismic", expected_failures={"check_mask_marginals": "spans begin at the first row"})
        def test_conformance(domain, check):
            check(domain)

    An expected failure that passes fails the suite. A check that does not apply is skipped with its reason.
    """
    from unlabeled.testing.checks import CHECKS, known  # imports much that the conduct suite does without

    expected = dict(expected_failures or {})
    known(expected)
    rows = [Row(domain, each, each.__name__, expected.get(each.__name__)) for each in CHECKS]
    return parametrize("domain", "check", rows)


def parametrize(subject: str, check: str, rows: Iterable[Row]) -> Any:
    """``pytest.mark.parametrize`` of a test that takes a subject and a check of it, by these names."""
    import pytest

    def runs(each: Callable[[Any], None]) -> Any:
        def checked(it: Any) -> None:
            try:
                each(it)
            except NotApplicable as reason:
                pytest.skip(f"does not apply: {reason}")

        checked.__doc__ = each.__doc__
        return checked

    def mark(expected: str | None) -> tuple[Any, ...]:
        return () if expected is None else (pytest.mark.xfail(reason=expected, strict=True),)

    params = [pytest.param(row.subject, runs(row.check), id=row.id, marks=mark(row.expected)) for row in rows]
    return pytest.mark.parametrize((subject, check), params)
