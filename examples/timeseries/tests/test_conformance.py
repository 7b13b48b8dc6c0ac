"""What `unlabeled` asks of every domain. An expected failure carries its reason, and must still fail."""

from unlabeled.testing import parametrize_checks


@parametrize_checks("timeseries", expected_failures={})
def test_conformance(domain, check):
    check(domain)
