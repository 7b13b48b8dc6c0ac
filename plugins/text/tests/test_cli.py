"""`unlabeled-text` is `unlabeled text`."""

import sys

from unlabeled_text.cli import main


def test_the_script_is_the_domain(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["unlabeled-text", "--help"])
    assert not main()
    assert "unlabeled text pretrain" in capsys.readouterr().out
