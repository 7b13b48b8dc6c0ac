from pathlib import Path

import pytest
import torch

from unlabeled.plugins import registry as plugins


@pytest.fixture
def toy(monkeypatch):
    """The toy domain is installed, and nothing else."""
    monkeypatch.setenv("UNLABELED_PLUGINS", "")
    monkeypatch.setattr(plugins, "_files", (str(Path(__file__).with_name("toy.py")),))
    plugins.registry.cache_clear()
    yield plugins.registry().domain("toy")
    plugins.registry.cache_clear()


@pytest.fixture(scope="session")
def emb():
    """Features [500, 32] of falling scale, drawn after the shared fixture of the conformance oracles."""
    torch.manual_seed(0)
    sizes = [(64, 32), (64, 32), (48, 32), (2, 64, 48), (4, 64, 48), (256, 32), (4, 3, 32, 32), (4, 16, 192)]
    for size in sizes:
        torch.randn(size)
    torch.rand(4, 16)
    torch.randn(256, 32), torch.randn(256, 32)
    return torch.randn(500, 32) @ torch.diag(torch.linspace(1, 0.01, 32))
