"""Features as files: ``.npz`` (``x[N, D]``, ``y[N]``, ``ids[N]``, ``classes``) or ``.parquet`` (a row a sample)."""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.contract import Embedded
from unlabeled.errors import PluginError, UsageError

SUFFIXES = (".npz", ".parquet")


def check_target(path: Path) -> None:
    """Refuse a target that cannot be written, before any work."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"--out {path}: it must end in {' or '.join(SUFFIXES)}")
    if path.is_dir():
        raise UsageError(f"--out {path} is a folder; give a file")
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise PluginError("writing .parquet needs pyarrow: pip install 'unlabeled[parquet]'; .npz needs nothing")


def write(path: Path, features: Embedded, classes: Sequence[str]) -> None:
    """Write features to ``path``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "x": features.x.numpy(),
        "ids": np.arange(len(features)) if features.ids is None else features.ids.numpy(),
    }
    if features.y is not None:
        columns["y"] = features.y.numpy()
    temporary = path.with_name(f".{path.name}.tmp")
    if path.suffix == ".npz":
        with temporary.open("wb") as file:  # a path would get another suffix from numpy
            np.savez(file, allow_pickle=False, **columns, classes=np.array(classes, dtype=np.str_))
    else:
        _parquet(temporary, columns, classes)
    os.replace(temporary, path)


def _parquet(path: Path, columns: dict[str, Any], classes: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    x = columns["x"]
    table = {
        "id": pa.array(columns["ids"]),
        "features": pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x.shape[1]),
    }
    if "y" in columns:
        table["label"] = pa.array(columns["y"])
        if len(classes):
            table["class"] = pa.array([classes[y] if 0 <= y < len(classes) else None for y in columns["y"].tolist()])
    pq.write_table(pa.table(table), path)
