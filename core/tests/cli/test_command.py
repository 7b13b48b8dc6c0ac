"""A function as a command: what is typed, what is wired, what is shown."""

import json

import pytest

from unlabeled.cli.command import run
from unlabeled.errors import UsageError
from unlabeled.plugins.words import Component

MODULE = '''
from __future__ import annotations
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class Size:
    """Settings.

    Args:
        side: in mm, above 0.
    """

    side: int = 3

    def __post_init__(self):
        if self.side < 1:
            raise ValueError(f"side is {self.side}; it must be above 0")


@dataclass
class Found:
    name: str
    side: int
    out: str

    def text(self):
        return f"{self.name} {self.side}"

    def to_dict(self):
        return asdict(self)


def measure(name: str, size: Size, unit: str = "mm", *, out: Path, top_k: int | None = None) -> Found:
    """Measure one thing.

    A note.

    Args:
        out: where it goes.
        top_k: most of them.
    """
    return Found(f"{name} {unit} {top_k}", size.side, str(out))


def score(run, data, say, size: Size) -> str:
    """Score a run."""


def near(data, run=None) -> str:
    """Of data, with a run or without."""


def after(domain, words, *, deep: bool = False) -> int:
    """Hand words on."""
    print(domain, words, deep)
    return 3
'''


@pytest.fixture
def command(toy, tmp_path, monkeypatch, capsys):
    """``command("measure", ...)``: its exit code, and what it printed."""
    (tmp_path / "a_plugins_commands.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)

    def call(name, *words):
        row = Component(kind="command", name=name, target=f"a_plugins_commands:{name}", summary="")
        return run(row, "toy", words), capsys.readouterr().out

    return call


def test_words_and_flags_reach_the_function(command):
    assert command("measure", "nose", "--out", "x") == (0, "nose mm None 3\n")
    assert command("measure", "nose", "cm", "--side", "5", "--out", "x", "--top-k", "2") == (0, "nose cm 2 5\n")
    found = json.loads(command("measure", "nose", "--out", "x", "--json")[1])
    assert found == {"name": "nose mm None", "side": 3, "out": "x"}


def test_every_mistake_is_told_at_once(command):
    with pytest.raises(UsageError) as caught:
        command("measure", "--side", "x", "--sid", "3")
    usage = "unlabeled toy measure NAME [UNIT] --out PATH [flags]"
    assert str(caught.value).splitlines() == [
        "found 4 errors:",
        "  --side is 'x'; it must be int (in mm, above 0; default 3)",
        "  unknown flag --sid. Perhaps you meant --side INT (in mm, above 0; default 3)",
        f"  --out is missing: {usage}",
        f"  a name is missing: {usage}",
    ]
    with pytest.raises(UsageError, match="unexpected 'b': unlabeled toy measure"):
        command("measure", "a", "cm", "b", "--out", "x")


def test_settings_are_checked_before_a_run_is_opened(command):
    with pytest.raises(UsageError, match="score: side is 0; it must be above 0"):
        command("score", "nowhere", "--side", "0")
    with pytest.raises(UsageError, match="nowhere: no such folder"):
        command("score", "nowhere")


def test_a_run_is_a_flag_where_it_may_be_missing(command):
    with pytest.raises(UsageError, match=r"--data is missing: unlabeled toy near --data PATH\|NAME \[flags\]"):
        command("near")
    with pytest.raises(UsageError, match="nowhere: no such folder"):
        command("near", "--data", "centers", "--run", "nowhere")


def test_what_is_no_flag_of_its_own_is_handed_on(command):
    words = ("--epochs", "3", "--deep", "--lr=1", "--resume")
    assert command("after", *words) == (3, "toy ('--epochs', '3', '--lr=1', '--resume') True\n")


def test_help_is_the_docstring(command):
    code, text = command("measure", "--help")
    assert code == 0
    assert text.splitlines()[:3] == [
        "usage: unlabeled toy measure NAME [UNIT] --out PATH [flags]", "", "Measure one thing."
    ]  # fmt: skip
    assert text.endswith("\n\nA note.\n")
    for line in ("--out PATH", "where it goes", "--side INT", "in mm, above 0 [3]", "--top-k INT", "--json"):
        assert line in text
