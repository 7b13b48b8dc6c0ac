"""Features as files: ``.npz`` (``x[N, D]``, ``y[N]``, ``ids[N]``, ``classes``) or ``.parquet`` (a row a sample).

Where the data names its samples there is a column ``path``, where it has sides a column ``split``. A sample that could
not be read keeps its row, with features that are NaN and its reason in ``bad``; its id is -1 where it has none.
"""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.contract import Embedded
from unlabeled.data.files import natural
from unlabeled.errors import PluginError, UsageError

SUFFIXES = (".npz", ".parquet")


def check_target(path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Refuse a target that cannot be written, before any work; the first of ``suffixes`` needs no package."""
    if path.suffix not in suffixes:
        raise UsageError(f"--out {path}: it must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise UsageError(f"--out {path} is a folder; give a file")
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise PluginError(
            f"writing .parquet needs pyarrow: pip install 'unlabeled[parquet]'; {suffixes[0]} needs nothing"
        )


def table(features: Embedded, data: Any, *, skip_bad: bool = False) -> dict[str, np.ndarray]:
    """The columns of a file, by name: a row for each sample that ``data`` was given, in its order."""
    found = np.arange(len(features)) if features.ids is None else features.ids.numpy()
    titles = list(data.names) if hasattr(data, "names") else None
    bad = data.bad if isinstance(getattr(data, "bad", None), Mapping) else {}
    ids = found if skip_bad else np.arange(len(data))
    if titles is not None and not skip_bad and (unopened := [name for name in bad if name not in set(titles)]):
        number = {name: n for n, name in enumerate(titles)}
        sort = natural if titles == natural(titles) else list  # a manifest's own order: the unopened stand last
        ids = np.array([number.get(name, -1) for name in sort([*titles, *unopened])])
        names = sort([*titles, *unopened])
    else:
        names = [] if titles is None else [titles[n] for n in ids]
    x = np.full((len(ids), features.x.shape[1]), np.nan, np.float32)
    place = np.full(len(data) + 1, -1)
    place[found] = np.arange(len(found))
    has = place[ids] >= 0  # the last place stands for an id of -1
    x[has] = features.x.numpy()[place[ids[has]]]
    columns = {"x": x, "ids": ids}
    if data.labels is not None:
        columns["y"] = np.where(ids < 0, -1, data.labels.numpy()[ids])
    if titles is not None:
        columns["path"] = np.array(names, dtype=np.str_)
    if sides := _sides(data):
        columns["split"] = np.array([sides[n] if n >= 0 else "" for n in ids], dtype=np.str_)
    if not has.all():
        reasons = [bad.get(name, "cannot be read") for name in names] or ["cannot be read"] * len(ids)
        columns["bad"] = np.array([r if not ok else "" for r, ok in zip(reasons, has, strict=True)], dtype=np.str_)
    return columns


def _sides(data: Any) -> list[str]:
    """train, test or val of each sample; empty where the data has no sides."""
    test, val = getattr(data, "test", None), getattr(data, "val", None)
    if test is None and val is None:
        return []
    names = np.full(len(data), "train", dtype=object)
    for side, name in ((test, "test"), (val, "val")):
        if side is not None:
            names[side.numpy()] = name
    return [str(name) for name in names]


def write(path: Path, columns: dict[str, np.ndarray], classes: Sequence[str]) -> None:
    """Write the columns of :func:`table` to ``path``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
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
    shown = {
        "id": pa.array(columns["ids"]),
        "features": pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x.shape[1]),
    }
    shown |= {name: pa.array(columns[name]) for name in ("path", "split", "bad") if name in columns}
    if "y" in columns:
        shown["label"] = pa.array(columns["y"])
        if len(classes):
            shown["class"] = pa.array([classes[y] if 0 <= y < len(classes) else None for y in columns["y"].tolist()])
    pq.write_table(pa.table(shown), path)
