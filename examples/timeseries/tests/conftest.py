"""Loads the plugin from its source where it is not installed."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unlabeled.plugins.registry import registry

SOURCE = Path(__file__).parents[1] / "src"
if importlib.util.find_spec("unlabeled_timeseries") is None:
    sys.path.insert(0, str(SOURCE))


@pytest.fixture(autouse=True, scope="module")
def _loaded() -> Iterator[None]:
    if "timeseries" not in registry().domains:
        registry().add("timeseries", importlib.import_module("unlabeled_timeseries.plugin"))
    yield
    registry.cache_clear()
