"""``unlabeled graph texts`` and ``unlabeled graph codes``: what GraphCLIP and SSQR read, and what a codebook says."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unlabeled.errors import PluginError, UsageError


def texts(domain: str, words: Sequence[str]) -> int:
    """Write embeddings of a plain summary of each sample, or of texts of your own, for ``--objective.texts``."""
    parser = argparse.ArgumentParser(prog=f"unlabeled {domain} texts", description=texts.__doc__)
    parser.add_argument("--data", required=True, help="graphs, in any form that pretrain reads")
    parser.add_argument("--out", required=True, help=".npz file to write: embeddings[N, D]")
    parser.add_argument("--lines", help="text file with one line for each sample; default: summaries of the graphs")
    parser.add_argument("--model", default="hashed", help="a folder or name of sentence-transformers; default: hashed")
    args = parser.parse_args(list(words))
    import numpy as np
    import torch

    from unlabeled_graph.data.texts import hashed, summaries

    data = _data(domain, args.data)
    if args.lines is not None:
        lines = _lines(Path(args.lines), len(data))
    else:
        parts = torch.arange(len(data)).split(256)
        lines = [line for ids in parts for line in summaries(data.__getitems__(ids.tolist()))]
    x = hashed(lines, 256).numpy() if args.model == "hashed" else _encode(args.model, lines)
    out = Path(args.out)
    if out.suffix != ".npz":
        raise UsageError(f"--out is {out}; it must end in .npz")
    np.savez(out, embeddings=np.asarray(x, dtype=np.float32))
    print(f"{out}: {len(lines):,} embeddings of {x.shape[1]} numbers; the first is of {lines[0]!r}")
    return 0


def codes(domain: str, words: Sequence[str]) -> int:
    """Write the codes of every node of a data set, by the codebook of a run of vqgraph or ssqr."""
    parser = argparse.ArgumentParser(prog=f"unlabeled {domain} codes", description=codes.__doc__)
    parser.add_argument("run", help="run folder")
    parser.add_argument("--data", help="graphs; default: those of the run")
    parser.add_argument("--out", required=True, help=".npz file to write: codes[T, S], lengths[G]")
    args = parser.parse_args(list(words))
    import numpy as np
    import torch

    from unlabeled.api import load
    from unlabeled_graph.tokenizers.codes import codebook_of, codes_of

    codebook = codebook_of(Path(args.run))
    found = load(args.run)
    data: Any = found.data(args.data)
    size = len(data) if data.spec.level == "node" else 256
    batches = [data.__getitems__(ids.tolist()) for ids in torch.arange(len(data)).split(size)]
    rows = torch.cat([codes_of(found.encoder, codebook, batch) for batch in batches])
    lengths = [n for batch in batches for n in batch.lengths]
    np.savez(Path(args.out), codes=rows.numpy(), lengths=np.asarray(lengths))
    total = len(codebook["quantizer.codebook"])
    print(f"{args.out}: {rows.shape[1]} of {total} codes for each of {len(rows):,} nodes; {len(rows.unique())} in use")
    return 0


def _data(domain: str, source: str) -> Any:
    from unlabeled.build import build_data
    from unlabeled.config.run import data_choice, resolve

    return build_data(resolve({"data": data_choice(domain, source)}, domain))


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
