"""Texts as the encoder read them, token ids, by the `tokenizers` library and torch alone.

``read(text)`` gives the ids of one text: those of ``tokenizer.json`` (or of its UTF-8 bytes + 3, as ByT5 has them)
cut to ``length`` with what stands around them, ``prefix`` and ``suffix``. The numbers stand in ``preprocess.json``
beside this file.

    # T tokens, D features
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


@cache
def settings() -> dict[str, Any]:
    """The numbers of this encoder."""
    found: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return found


@cache
def tokenizer() -> Any:
    """The tokenizer as it was used: nothing cut, nothing padded."""
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(Path(__file__).with_name("tokenizer.json")))
    found.no_truncation()
    found.no_padding()
    return found


def read(text: str) -> Tensor:
    """``int64[T]``: the ids of a text, without white space around it."""
    prefix, suffix = settings()["prefix"], settings()["suffix"]
    text = text.strip()
    if settings()["bytes"]:
        ids = [byte + 3 for byte in text.encode("utf-8")]
    else:
        ids = tokenizer().encode(text, add_special_tokens=False).ids
    return torch.tensor([*prefix, *ids[: settings()["length"] - len(prefix) - len(suffix)], *suffix])


def pool(rows: Tensor) -> Tensor:
    """``[D]`` of ``rows[T, D]``: their mean, the first, or the last."""
    kind = settings()["pool"]
    return rows.mean(0) if kind == "mean" else rows[0] if kind == "first" else rows[-1]
