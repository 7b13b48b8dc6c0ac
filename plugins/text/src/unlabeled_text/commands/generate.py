"""Texts that an encoder-decoder writes of others: what T5, UL2, BART and their kin are trained for.

    unlabeled text generate runs/t5 --text "the <extra_id_0> sat on the mat"
    unlabeled text generate runs/bart --data texts.txt --out written.jsonl

A text is read as it is: sentinels, masks and mode tokens stand in it by name.

    # B texts
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from unlabeled.errors import UsageError, at_least
from unlabeled.probes.embedding import batches, evaluating
from unlabeled_text.batch import TextBatch, TextSpec
from unlabeled_text.ops.codecs import BYTES

if TYPE_CHECKING:
    from unlabeled.runs.pretrained import Pretrained


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Settings.

    Args:
        text: a text to read, in place of --data.
        out: a file to write, .jsonl or .txt; without it what is written is printed.
        most: most tokens that are written of a text.
        beams: texts that are followed at a time; 1 = the likeliest token each time.
        batch_size: texts that are read together.
    """

    text: str = ""
    out: Path | None = None
    most: int = 64
    beams: int = 1
    batch_size: int = 32

    def __post_init__(self) -> None:
        from unlabeled.runs.features import check_target

        at_least(1, most=self.most, beams=self.beams, batch_size=self.batch_size)
        if self.out is not None:
            check_target(self.out, (".jsonl", ".txt"))


def generate(run: Pretrained, settings: Generate, data: Any = None) -> str:
    """What the encoder-decoder of RUN writes of a text, or of each of --data, a line each."""
    refuse_no_decoder(run)
    if bool(settings.text) == (data is not None):
        raise UsageError("give --text TEXT or --data PATH, one of them: what is to be read")
    spec = run.spec
    if data is None:
        texts, found = [settings.text], iter([cast(Any, batch_of([settings.text], spec))])
    else:
        texts = data.texts(range(len(data)))
        found = batches(data, torch.arange(len(data)), batch_size=settings.batch_size, workers=0)
    written = [line for batch in found for line in write(run.encoder, spec, batch, settings.most, settings.beams)]
    lines = written
    if settings.out is None:
        return "\n".join(" ".join(line.split()) for line in written)
    if settings.out.suffix == ".jsonl":
        pairs = zip(texts, written, strict=True)
        lines = [json.dumps({"text": text, "written": line}, ensure_ascii=False) for text, line in pairs]
    settings.out.write_text("".join(f"{' '.join(line.split())}\n" for line in lines), encoding="utf-8")
    return f"saved {settings.out}: {len(lines):,} texts"


def refuse_no_decoder(run: Pretrained) -> None:
    """``UsageError`` where nothing of the run writes."""
    if not getattr(run.encoder, "two", False):
        raise UsageError(
            f"{run.folder} holds encoder {run.info['encoder']['name']}, which has no decoder: recipes t5, ul2, bart, "
            "code_switch, compoundpiece and e2s2 train one"
        )


def write(encoder: Any, spec: TextSpec, batch: TextBatch, most: int, beams: int = 1) -> list[str]:
    """What the decoder writes of each text."""
    with evaluating(encoder):
        return [spoken(row, spec) for row in encoder.generate(batch, most=most, beams=beams)]


def spoken(ids: Sequence[int], spec: TextSpec) -> str:
    """The text of token ids, sentinels by their names, other specials left out."""
    names, parts = spec.words_of_vocabulary(), list[str]()
    words = list[int]()
    for token in (*ids, None):
        if token is not None and token not in spec.sentinels:
            words.append(token)
            continue
        parts += [spec.text(words).strip()] if words else []
        parts += [] if token is None else [names[token]]
        words = []
    return " ".join(part for part in parts if part)


def batch_of(texts: Sequence[str], spec: TextSpec) -> TextBatch:
    """A batch of texts, each in its frame and cut to the spec's length."""
    room = spec.length - len(spec.prefix) - len(spec.suffix)
    rows = [[*spec.prefix, *ids_of(text, spec)[:room].tolist(), *spec.suffix] for text in texts]
    return TextBatch(torch.arange(len(rows)), torch.tensor([i for row in rows for i in row]), tuple(map(len, rows)))


def ids_of(text: str, spec: TextSpec) -> np.ndarray:
    """Token ids of a text; specials that stand in it by name are one token, for plain bytes too."""
    names = {spec.words_of_vocabulary()[i]: i for i in (*spec.sentinels, *spec.modes)}
    parts = re.split("|".join(f"({re.escape(name)})" for name in names), text) if spec.tokenizer == BYTES else [text]
    known = [part for part in parts if part]
    made = iter(spec.codec.encode([part for part in known if part not in names]))
    found = [np.array([names[part]]) if part in names else next(made)[0] for part in known]
    return np.concatenate(found) if found else np.zeros(0, np.int64)
