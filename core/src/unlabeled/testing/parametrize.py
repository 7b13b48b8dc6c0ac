"""The conformance kit as pytest tests: the whole test file of a plugin is ten lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlabeled.testing.checks import CHECKS, known


def parametrize_checks(domain: str, expected_failures: Mapping[str, str] | None = None) -> Any:
    """A decorator that makes a test ``(domain, check)`` run once for each check::

        @parametrize_checks("seismic", expected_failures={"check_mask_marginals": "spans begin at the first row"})
        def test_conformance(domain, check):
            check(domain)

    An expected failure that passes fails the suite. A check that does not apply is skipped with its reason.
    """
    import pytest

    from unlabeled.testing.subject import NotApplicable

    expected = dict(expected_failures or {})
    known(expected)

    def runs(each: Any) -> Any:
        def check(name: str) -> None:
            try:
                each(name)
            except NotApplicable as reason:
                pytest.skip(f"does not apply: {reason}")

        check.__doc__ = each.__doc__
        return check

    def mark(name: str) -> tuple[Any, ...]:
        return (pytest.mark.xfail(reason=expected[name], strict=True),) if name in expected else ()

    rows = [pytest.param(domain, runs(each), id=each.__name__, marks=mark(each.__name__)) for each in CHECKS]
    return pytest.mark.parametrize(("domain", "check"), rows)
