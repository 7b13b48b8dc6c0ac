"""`unlabeled-vision` is `unlabeled vision`, and so for every plugin of this repository."""

import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[1].glob("plugins/*/pyproject.toml")), ids=lambda p: p.parent.name
)
def test_the_script_is_the_domain(path, monkeypatch, capsys):
    domain = path.parent.name
    target = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["scripts"][f"unlabeled-{domain}"]
    module, _, name = target.partition(":")
    monkeypatch.setattr(sys, "argv", [f"unlabeled-{domain}", "--help"])
    assert not getattr(import_module(module), name)()
    assert f"unlabeled {domain} pretrain" in capsys.readouterr().out
