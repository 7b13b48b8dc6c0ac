"""Makes ``graph_samples.py`` importable by its name: a tests folder is no package."""

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location("graph_samples", Path(__file__).with_name("graph_samples.py"))
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["graph_samples"] = _module
_spec.loader.exec_module(_module)
