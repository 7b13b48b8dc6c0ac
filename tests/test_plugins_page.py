"""docs/plugins.md names every check of the conformance kit, with what it ensures."""

from pathlib import Path

from unlabeled.testing import CHECKS

PAGE = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")


def test_every_check_is_on_the_page():
    rows = [line for line in PAGE.splitlines() if line.startswith("| `check_")]
    expected = []
    for check in CHECKS:
        said = " ".join((check.__doc__ or "").split("\n\n")[0].split()).removeprefix("Ensure that ")
        expected.append(f"| `{check.__name__}` | {said.removesuffix('.').replace('``', '`')} |")
    assert rows == expected
