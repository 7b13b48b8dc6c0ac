import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def toy():
    """``toy_training.py``, loaded by path: a tests folder is no package."""
    path = Path(__file__).with_name("toy_training.py")
    spec = importlib.util.spec_from_file_location("toy_training", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy_training"] = module
    spec.loader.exec_module(module)
    return module
