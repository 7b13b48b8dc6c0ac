"""`unlabeled-text` is `unlabeled text`."""

from __future__ import annotations

import sys

import pytest

from unlabeled_text.cli import main


def test_the_script_is_the_domain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["unlabeled-text", "--help"])
    assert not main()
    assert "unlabeled text pretrain" in capsys.readouterr().out
