"""Predictions of a run with a head as a table, ``.csv``, ``.jsonl`` or ``.parquet``: a row a sample, in its order.

Columns: ``id``, ``path`` where the data names its samples; of classes ``predicted`` and ``p_NAME`` of each, of several
labels ``predicted`` (those of probability 1/2 and more, between ``|``) and ``p_NAME`` of each, of numbers
``predicted_NAME`` of each, of choices ``predicted_score`` (the greatest of a question is right); and ``bad``, the
reason of a sample that could not be read (its other cells are empty).

    # N samples of a part, D features, K outputs
"""

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.contract import Data
from unlabeled.runs.features import parts
from unlabeled.runs.pretrained import Pretrained
from unlabeled.runs.tuned import Head, load_head

SUFFIXES = (".csv", ".jsonl", ".parquet")
BETWEEN = "|"  # labels of a sample, as manifests are read


@dataclass(frozen=True)
class Predictions:
    """Columns by name, of equal length, and how many samples could be read."""

    columns: dict[str, list[Any]]
    read: int


def predict(run: Pretrained, data: Data, **options: Any) -> Predictions:
    """Predictions for all samples of ``data`` by the head of ``run``; features are let go batch by batch."""
    head, columns, read = load_head(run), dict[str, list[Any]](), 0
    for part in parts(run, data, **options):
        x_ND = torch.from_numpy(part["x"])
        ok = x_ND.isfinite().all(1)
        with torch.no_grad():
            out_NK = head.linear(x_ND.float())
        found = {"id": [i if i >= 0 else None for i in part["ids"].tolist()]}
        found |= {"path": part["path"].tolist()} if "path" in part else {}
        for name, cells in _outputs(head, out_NK):
            found[name] = [cell if good else None for cell, good in zip(cells, ok.tolist(), strict=True)]
        found["bad"] = part.get("bad", np.full(len(ok), "")).tolist()
        for name, cells in found.items():
            columns.setdefault(name, []).extend(cells)
        read += int(ok.sum())
    return Predictions(columns, read)


def _outputs(head: Head, out_NK: Tensor) -> Iterator[tuple[str, list[Any]]]:
    """Columns of what a head says."""
    if head.kind in ("regression", "choices"):
        yield from ((f"predicted_{name}", out_NK[:, k].tolist()) for k, name in enumerate(head.classes))
        return
    p_NK = out_NK.softmax(1) if head.kind == "classes" else out_NK.sigmoid()
    if head.kind == "classes":
        yield "predicted", [head.classes[k] for k in p_NK.argmax(1).tolist()]
    else:
        chosen = (p_NK >= 0.5).tolist()
        yield "predicted", [BETWEEN.join(n for n, yes in zip(head.classes, row, strict=True) if yes) for row in chosen]
    yield from ((f"p_{name}", p_NK[:, k].tolist()) for k, name in enumerate(head.classes))


def write(path: Path, found: Predictions) -> None:
    """Write the table to ``path``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    rows = zip(*found.columns.values(), strict=True)
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(found.columns), temporary)
    elif path.suffix == ".jsonl":
        lines = (json.dumps(dict(zip(found.columns, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(lines)
    else:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(found.columns)
            writer.writerows(rows)
    os.replace(temporary, path)
