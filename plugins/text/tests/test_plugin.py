"""The table: every row resolves, loading it needs no torch; `unlabeled-text` is `unlabeled text`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from unlabeled.config.settings import signature
from unlabeled.plugins.registry import registry, resolve
from unlabeled.plugins.words import CONTRACT, Component
from unlabeled_text.cli import main
from unlabeled_text.plugin import unlabeled_domain

ROWS = unlabeled_domain().components


def test_the_plugin_loads_without_torch() -> None:
    code = "import sys, unlabeled_text.plugin; print('torch' in sys.modules, 'transformers' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_the_domain_is_registered() -> None:
    assert registry().domains["text"] == unlabeled_domain()
    assert unlabeled_domain().contract == CONTRACT


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}-{row.name}")
def test_every_row_resolves(row: Component) -> None:
    assert callable(resolve(row))
    assert row.summary
    assert len(row.summary) < 80
    assert all(setting.help for setting in signature(row).settings)


def test_the_script_is_the_domain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["unlabeled-text", "--help"])
    assert not main()
    assert "unlabeled text pretrain" in capsys.readouterr().out
