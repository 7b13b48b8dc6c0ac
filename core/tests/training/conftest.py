from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """``toy_training.py``, loaded by path: a tests folder is no package."""
    path = Path(__file__).with_name("toy_training.py")
    spec = importlib.util.spec_from_file_location("toy_training", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy_training"] = module
    spec.loader.exec_module(module)
    return module
