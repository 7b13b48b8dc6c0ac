"""The table: every row resolves, and loading it needs no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from unlabeled.config.settings import signature
from unlabeled.plugins.registry import registry, resolve
from unlabeled.plugins.words import CONTRACT, Component
from unlabeled_graph.plugin import ROWS, unlabeled_domain


def test_the_plugin_loads_without_torch() -> None:
    code = "import sys, unlabeled_graph.plugin; print('torch' in sys.modules, 'torch_geometric' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_the_domain_is_registered() -> None:
    assert registry().domains["graph"] == unlabeled_domain()
    assert unlabeled_domain().contract == CONTRACT


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}-{row.name}")
def test_every_row_resolves(row: Component) -> None:
    assert callable(resolve(row))
    assert row.summary
    assert len(row.summary) < 80
    assert all(setting.help for setting in signature(row).settings)


def test_importing_pyg_warns_of_nothing() -> None:
    code = "import warnings; warnings.simplefilter('error'); import unlabeled_graph.encoders.layers"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "torch.jit" not in done.stderr
