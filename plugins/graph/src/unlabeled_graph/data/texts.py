"""Texts of graphs: embeddings from a file, plain summaries, and hashed words as the simplest frozen text encoder.

# N samples of the data set, B of a batch, D features
"""

import zipfile
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.errors import UsageError
from unlabeled_graph.ops.sparse import dense

MOST = 5  # features and neighbors that a summary names


def read_texts(path: str, samples: int) -> Tensor:
    """``float32[N, D]`` from an .npz file's ``embeddings``; :class:`UsageError` where it does not fit the data."""
    try:
        with np.load(Path(path), allow_pickle=False) as found:
            if "embeddings" not in found.files:
                raise UsageError(f"{path} holds {', '.join(found.files) or 'nothing'}; it must have embeddings[N, D]")
            x = torch.from_numpy(np.asarray(found["embeddings"], dtype=np.float32))
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} cannot be read as .npz with embeddings[N, D]: {error}") from error
    if x.dim() != 2 or (samples and len(x) != samples):
        raise UsageError(f"{path}: embeddings are {list(x.shape)}; the data has {samples} samples, one row each")
    if not x.isfinite().all():
        raise UsageError(f"{path}: the embedding of sample {int((~x.isfinite()).any(1).nonzero()[0])} is not finite")
    return x


def summaries(batch: Any) -> list[str]:
    """One plain sentence or two for each sample: sizes, degrees, and the most frequent features."""
    layout = batch.layout
    x, degree = dense(batch.x), torch.bincount(batch.edges[1], minlength=batch.total)
    if layout.seeds is not None:
        neighbors = torch.zeros_like(x).index_add(0, batch.edges[1], x[batch.edges[0]])[layout.seeds]
        own = x[layout.seeds]
        return [
            f"A node with {d} neighbors. Its features are {_top(a)}. Around it are {_top(b)}."
            for d, a, b in zip(degree[layout.seeds].tolist(), own, neighbors, strict=True)
        ]
    found = []
    for start, length in zip(layout.offsets, layout.lengths):
        part = degree[start : start + length]
        counts = torch.bincount(part, minlength=1).tolist()
        spread = ", ".join(f"{n} of degree {d}" for d, n in enumerate(counts) if n)
        features = _top(x[start : start + length].sum(0))
        found.append(f"A graph of {length} nodes and {int(part.sum()) // 2} links: {spread}. Features are {features}.")
    return found


def _top(values_F: Tensor) -> str:
    count = min(MOST, int((values_F > 0).sum()))
    names = torch.topk(values_F, count).indices.tolist() if count else []
    return ", ".join(f"f{n}" for n in names) or "none"


def hashed(texts: Sequence[str], width: int) -> Tensor:
    """``float32[B, width]`` of length 1: signed counts of words and of pairs of words, each at a hashed place."""
    out = torch.zeros(len(texts), width)
    for row, text in enumerate(texts):
        words = text.lower().replace(".", " ").replace(",", " ").split()
        for token in (*words, *map(" ".join, pairwise(words))):
            code = zlib.crc32(token.encode())
            out[row, code % width] += 1.0 if code >> 16 & 1 else -1.0
    return F.normalize(out, dim=1)
