"""A toy domain from a plugin file, with no installed plugin beside it."""

from pathlib import Path

import pytest

from unlabeled.plugins.registry import registry, use_files

TOY = Path(__file__).with_name("toy_domain.py")


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Domain ``toy`` alone, in an empty working folder; the path of its plugin file."""
    monkeypatch.setenv("UNLABELED_PLUGINS", "")
    monkeypatch.chdir(tmp_path)
    use_files([])
    registry.cache_clear()
    use_files([str(TOY)])
    yield str(TOY)
    use_files([])
    registry.cache_clear()
