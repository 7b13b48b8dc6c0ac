"""Predictions of a fine-tuned run as a table, ``.csv`` or ``.parquet``: a row a sample, one probability a class.

Columns: ``id``, ``path`` where the data names its samples, ``predicted``, ``p_NAME`` of each class, and ``bad``, the
reason of a sample that could not be read (its other cells are empty).

    # N samples, D features, K classes
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unlabeled.contract import Data
from unlabeled.runs.features import parts
from unlabeled.runs.pretrained import Pretrained
from unlabeled.runs.tuned import load_head

SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class Predictions:
    """Columns by name, of equal length, and how many samples could be read."""

    columns: dict[str, list[Any]]
    read: int


def predict(run: Pretrained, data: Data, **options: Any) -> Predictions:
    """Classes and probabilities of all samples of ``data`` by the head of ``run``."""
    head = load_head(run)
    found = list(parts(run, data, **options))
    features = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    x_ND = torch.from_numpy(features["x"])
    read = x_ND.isfinite().all(1)
    with torch.no_grad():
        p_NK = head.linear(x_ND).softmax(1)
    best = p_NK.argmax(1)
    columns: dict[str, list[Any]] = {"id": [i if i >= 0 else None for i in features["ids"].tolist()]}
    if "path" in features:
        columns["path"] = features["path"].tolist()
    columns["predicted"] = [head.classes[k] if ok else None for k, ok in zip(best.tolist(), read, strict=True)]
    for k, name in enumerate(head.classes):
        columns[f"p_{name}"] = [p if ok else None for p, ok in zip(p_NK[:, k].tolist(), read, strict=True)]
    columns["bad"] = features.get("bad", np.full(len(read), "")).tolist()
    return Predictions(columns, int(read.sum()))


def write(path: Path, found: Predictions) -> None:
    """Write the table to ``path``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(found.columns), temporary)
    else:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(found.columns)
            writer.writerows(zip(*found.columns.values(), strict=True))
    os.replace(temporary, path)
