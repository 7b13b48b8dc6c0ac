"""What `unlabeled` asks of every domain. An expected failure carries its reason, and must still fail."""

from collections.abc import Callable

from unlabeled.testing import parametrize_checks


@parametrize_checks("text")
def test_conformance(domain: str, check: Callable[[str], None]) -> None:
    check(domain)
