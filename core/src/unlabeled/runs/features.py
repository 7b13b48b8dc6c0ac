"""Features as files, ``.npz`` or ``.parquet``: a row a sample in the order of the input, written as they are computed.

Where the data names its samples there is a column ``path``, where it has sides a column ``split``. A sample that could
not be read keeps its row, with features that are NaN and its reason in ``bad``; its id is -1 where it has none.
``tokens`` are a row each, after ``token``, its number in the sample, and ``position``, its coordinates; ``layers`` are
columns ``layer_1``, ``layer_2``, ..., the pooled features of each, from the first to the last.

    # N rows of the input, R rows of a part of the file, D features, P coordinates
"""

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from unlabeled.contract import Batch, Features
from unlabeled.data.files import natural
from unlabeled.errors import PluginError, UsageError
from unlabeled.probes.embedding import FEATURES, check_finite, feature_of, forwards, layer_count
from unlabeled.runs.pretrained import Pretrained, pick_device

What = Literal["pooled", "mean", "prefix", "tokens", "layers"]
SUFFIXES = (".npz", ".parquet")
ROWS = 4096  # that a row group of Parquet holds at least: small ones are slow to read
LAYER = "layer_"
NAMES = {"ids": "id", "x": "features", "y": "label"}  # of .npz, as .parquet calls them
Part = dict[str, np.ndarray]


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


@dataclass(frozen=True)
class Saved:
    """What a file of features holds: samples, among them those that have features, rows, and the width of each."""

    path: Path
    samples: int
    rows: int
    widths: tuple[int, ...]

    def text(self) -> str:
        """``saved f.npz: 32 samples x 8 features``"""
        rows = "" if self.rows == self.samples else f", {self.rows:,} rows"
        return f"saved {self.path}: {self.samples:,} samples{rows} x {', '.join(map(str, self.widths))} features"


def save(run: Pretrained, data: Any, path: Path, **options: Any) -> Saved:
    """Write the features of ``data`` to ``path``, whole or not at all; ``options`` are those of :func:`parts`.

    ``.parquet`` is written in row groups, so that no more than one of them is held; ``.npz`` holds all.
    """
    seen: dict[str, Any] = {"samples": 0, "rows": 0, "widths": ()}

    def counted() -> Iterator[Part]:
        for part in parts(run, data, **options):
            ids = part["ids"][part["bad"] == ""] if "bad" in part else part["ids"]
            seen["rows"] += len(ids)
            seen["samples"] += len(np.unique(ids))
            seen["widths"] = tuple(x.shape[1] for name, x in part.items() if name == "x" or name.startswith(LAYER))
            yield part

    write(path, counted(), data.classes)
    return Saved(path, **seen)


# ---------------------------------------------------------------------------------------------- rows


def parts(
    run: Pretrained,
    data: Any,
    *,
    features: What = "pooled",
    skip_bad: bool = False,
    batch_size: int = 256,
    workers: int = 0,
    device: str = "auto",
) -> Iterator[Part]:
    """The columns of a file, a batch of samples at a time: a row for each sample that was given, in its order.

    Columns are ``x`` (or ``layer_1``, ...), ``ids``, and what the data knows: ``y``, ``path``, ``text``, ``split``,
    ``bad``.
    """
    ids, names = _given(data, skip_bad)
    take, layers = _taking(run, data, features, pick_device(device))
    at, found = 0, Part()
    todo = torch.arange(len(data))
    options: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "device": pick_device(device)}
    for batch, _, out in forwards(run.encoder, data, run.views, todo, layers=layers, **options):
        read = batch.ids.cpu().numpy()
        owner, found = take(batch, out)
        stop = int(np.flatnonzero(ids == read[-1])[0]) + 1
        yield _part(data, ids[at:stop], names[at:stop], read, owner, found, skip_bad)
        at = stop
    if at < len(ids):
        none, empty = np.array([], dtype=np.int64), {name: x[:0] for name, x in found.items()}
        rest = _part(data, ids[at:], names[at:], none, none, empty or {"x": np.zeros((0, run.encoder.dim))}, skip_bad)
        if len(rest["ids"]):
            yield rest


def _given(data: Any, skip_bad: bool) -> tuple[np.ndarray, list[str]]:
    """The id of each row and its name (none where the data names nothing); -1 where a file could not be opened."""
    ids, titles = np.arange(len(data)), list(data.names) if hasattr(data, "names") else []
    known = set(titles)
    unopened = [] if skip_bad or not titles else [name for name in _reasons(data) if name not in known]
    if not unopened:
        return ids, titles
    number = {name: n for n, name in enumerate(titles)}
    sort = natural if titles == natural(titles) else list  # a manifest's own order: the unopened stand last
    names = sort([*titles, *unopened])
    return np.array([number.get(name, -1) for name in names]), names


def _reasons(data: Any) -> Mapping[str, str]:
    bad = getattr(data, "bad", None)
    return bad if isinstance(bad, Mapping) else {}


Take = Callable[[Batch, Features], tuple[np.ndarray, Part]]


def _taking(run: Pretrained, data: Any, features: What, device: str) -> tuple[Take, tuple[int, ...]]:
    """What makes columns of a batch's features, after the id that each row belongs to; the layers to ask for."""
    if features == "tokens":
        return _tokens, ()
    if features == "layers":
        count = layer_count(run.encoder, data, run.views, device)
        return _layers, tuple(range(-count, 0))
    if features not in FEATURES:
        raise UsageError(f"features is {features!r}; it must be one of {', '.join(get_args(What))}")
    return (lambda batch, out: (_host(batch.ids), {"x": _host(feature_of(out, features))})), ()


def _layers(batch: Batch, out: Features) -> tuple[np.ndarray, Part]:
    return _host(batch.ids), {f"{LAYER}{n}": _host(layer.pooled) for n, layer in enumerate(out.layers, 1)}


def _tokens(batch: Batch, out: Features) -> tuple[np.ndarray, Part]:
    """Rows of samples; where a sample is itself a row of a graph, that one."""
    layout, ids = out.layout, _host(batch.ids)
    if layout.seeds is not None:
        return ids, {"x": _host(out.tokens[layout.seeds]), "token": np.zeros(len(ids), np.int64)}
    length = np.array(layout.lengths)
    found = {
        "x": _host(out.tokens),
        "token": np.arange(layout.total) - np.repeat(np.array(layout.offsets[:-1]), length),
    }
    if layout.position.shape[1]:
        found["position"] = _host(layout.position)
    return np.repeat(ids, length), found


def _host(x: Tensor) -> np.ndarray:
    if x.is_floating_point():
        x = x.float()
        check_finite(x)
    array: np.ndarray = x.cpu().numpy()
    return array


def _part(
    data: Any,
    ids: np.ndarray,
    names: Sequence[str],
    read: np.ndarray,
    owner: np.ndarray,
    found: Mapping[str, np.ndarray],
    skip_bad: bool,
) -> Part:
    """Columns for the rows ``ids[N]`` of the input, of which ``read`` have the rows ``owner[R]`` of ``found``."""
    has, count = np.isin(ids, read), np.bincount(owner, minlength=len(data) + 1)[ids]
    row = np.repeat(np.arange(len(ids)), np.where(has, count, 0 if skip_bad else 1))
    has = has[row]
    part = {"ids": ids[row]} | {name: _spread(x, has) for name, x in found.items()}
    if data.labels is not None:
        part["y"] = np.where(ids < 0, -1, data.labels.numpy()[ids])[row]
    if names:
        part["path"] = np.array([names[n] for n in row.tolist()], dtype=np.str_)
    if hasattr(data, "texts"):
        texts = iter(data.texts(ids[ids >= 0].tolist()))
        own = [next(texts) if n >= 0 else "" for n in ids.tolist()]
        part["text"] = np.array([own[n] for n in row.tolist()], dtype=np.str_)
    if sides := _sides(data, ids):
        part["split"] = np.array([sides[n] for n in row.tolist()], dtype=np.str_)
    if not skip_bad:
        bad = _reasons(data)
        reasons = [bad.get(name, "cannot be read") for name in names] or ["cannot be read"] * len(ids)
        why = ["" if ok else reasons[n] for n, ok in zip(row.tolist(), has, strict=True)]
        part["bad"] = np.array(why, dtype=np.str_)
    return part


def _spread(x: np.ndarray, has: np.ndarray) -> np.ndarray:
    """The rows of ``x`` where ``has``, NaN (or -1) elsewhere."""
    out = np.full((len(has), *x.shape[1:]), np.nan if x.dtype.kind == "f" else -1, x.dtype)
    out[has] = x
    return out


def _sides(data: Any, ids: np.ndarray) -> list[str]:
    """train, test or val of each of ``ids``; empty where the data has no sides."""
    test, val = getattr(data, "test", None), getattr(data, "val", None)
    if test is None and val is None:
        return []
    names = np.full(len(ids), "train", dtype=object)
    for side, name in ((test, "test"), (val, "val")):
        if side is not None:
            names[side.numpy()[ids]] = name
    names[ids < 0] = ""
    return [str(name) for name in names]


# ---------------------------------------------------------------------------------------------- files


def write(path: Path, found: Iterator[Part], classes: Sequence[str]) -> None:
    """Write the columns of :func:`parts` to ``path``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        if path.suffix == ".npz":
            _npz(temporary, list(found), classes)
        else:
            _parquet(temporary, found, classes)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _npz(path: Path, found: Sequence[Part], classes: Sequence[str]) -> None:
    columns = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    if "bad" in columns and not columns["bad"].astype(bool).any():
        del columns["bad"]
    with path.open("wb") as file:  # a path would get another suffix from numpy
        np.savez(file, allow_pickle=False, **columns, classes=np.array(classes, dtype=np.str_))


def _parquet(path: Path, found: Iterator[Part], classes: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer, held = None, []
    for part in found:
        held.append(_arrow(part, classes))
        writer = writer or pq.ParquetWriter(path, held[0].schema)
        if sum(len(table) for table in held) >= ROWS:
            writer.write_table(pa.concat_tables(held))
            held = []
    assert writer is not None, "an empty data set is refused when it is opened"
    if held:
        writer.write_table(pa.concat_tables(held))
    writer.close()


def _arrow(part: Part, classes: Sequence[str]) -> Any:
    """The part as a table of pyarrow; a matrix is a column of lists of one length."""
    import pyarrow as pa

    shown = {}
    for name, column in part.items():
        flat = pa.array(np.ascontiguousarray(column).reshape(-1))
        shown[NAMES.get(name, name)] = (
            pa.FixedSizeListArray.from_arrays(flat, column.shape[1]) if column.ndim > 1 else flat
        )
    if "y" in part and len(classes):
        shown["class"] = pa.array(
            [classes[y] if 0 <= y < len(classes) else None for y in part["y"].tolist()], pa.string()
        )
    return pa.table(shown)
