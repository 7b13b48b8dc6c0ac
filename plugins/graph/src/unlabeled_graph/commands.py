"""``unlabeled graph texts`` and ``unlabeled graph codes``: what GraphCLIP and SSQR read, and what a codebook says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unlabeled.errors import PluginError, UsageError

if TYPE_CHECKING:
    from unlabeled.runs.pretrained import Pretrained


@dataclass(frozen=True, kw_only=True)
class Table:
    """Where arrays go.

    Args:
        out: .npz file to write.
    """

    out: Path

    def __post_init__(self) -> None:
        if self.out.suffix != ".npz":
            raise UsageError(f"--out is {self.out}; it must end in .npz")


def texts(data: Any, table: Table, *, lines: Path | None = None, model: str = "hashed") -> str:
    """Write embeddings of a plain summary of each sample, or of texts of your own, for ``--objective.texts``.

    The file holds embeddings[N, D].

    Args:
        data: graphs, in any form that pretrain reads.
        lines: text file with one line for each sample; summaries of the graphs if not given.
        model: a folder or name of sentence-transformers, or hashed.
    """
    from unlabeled_graph.data.texts import hashed, summaries

    if lines is not None:
        said = _lines(lines, len(data))
    else:
        parts = torch.arange(len(data)).split(256)
        said = [line for ids in parts for line in summaries(data.__getitems__(ids.tolist()))]
    x = hashed(said, 256).numpy() if model == "hashed" else _encode(model, said)
    np.savez(table.out, embeddings=np.asarray(x, dtype=np.float32))
    return f"{table.out}: {len(said):,} embeddings of {x.shape[1]} numbers; the first is of {said[0]!r}"


def codes(run: Pretrained, data: Any, table: Table) -> str:
    """Write the codes of every node of a data set, by the codebook of a run of vqgraph or ssqr.

    The file holds codes[T, S], lengths[G].
    """
    from unlabeled_graph.tokenizers.codes import codebook_of, codes_of

    codebook = codebook_of(run.folder)
    size = len(data) if data.spec.level == "node" else 256
    batches = [data.__getitems__(ids.tolist()) for ids in torch.arange(len(data)).split(size)]
    rows = torch.cat([codes_of(run.encoder, codebook, batch) for batch in batches])
    lengths = [n for batch in batches for n in batch.lengths]
    np.savez(table.out, codes=rows.numpy(), lengths=np.asarray(lengths))
    total = len(codebook["quantizer.codebook"])
    used = f"{len(rows.unique())} in use"
    return f"{table.out}: {rows.shape[1]} of {total} codes for each of {len(rows):,} nodes; {used}"


def _lines(path: Path, count: int) -> list[str]:
    try:
        found = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if len(found) != count:
        raise UsageError(f"{path} has {len(found):,} lines; the data has {count:,} samples, one line each")
    return found


def _encode(model: str, lines: list[str]) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ModuleNotFoundError as error:
        raise PluginError(
            "--model needs the package sentence-transformers: pip install sentence-transformers"
        ) from error
    return SentenceTransformer(model).encode(lines, normalize_embeddings=True)
