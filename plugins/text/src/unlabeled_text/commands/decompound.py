"""Compounds in their parts, by a run of recipe compoundpiece, and how many of them are right.

    unlabeled text decompound runs/compoundpiece --text "Kindergartenüberraschung windmill"
    unlabeled text decompound runs/compoundpiece --words gold.tsv

A line of the file is a word and, where it is known, a tab and the parts with hyphens between them. Accuracy is of whole
words, without case, as in https://arxiv.org/abs/2305.14214: of compounds, of words that are none, and of all.

    # W words
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unlabeled.data.files import text_of
from unlabeled.errors import UsageError, at_least
from unlabeled_text.commands.generate import batch_of, refuse_no_decoder, write
from unlabeled_text.data.compounds import SEEMS

if TYPE_CHECKING:
    from unlabeled.runs.pretrained import Pretrained

LONGEST = 2  # tokens that are written for each that is read: every letter apart


@dataclass(frozen=True, kw_only=True)
class Decompound:
    """Settings.

    Args:
        text: words, in place of a file.
        words: a file of words, a line each, with a tab and the parts (by hyphens) where accuracy is asked for.
        beams: ways to break a word that are followed at a time.
        batch_size: words that are read together.
    """

    text: str = ""
    words: Path | None = None
    beams: int = 1
    batch_size: int = 64

    def __post_init__(self) -> None:
        at_least(1, beams=self.beams, batch_size=self.batch_size)
        if bool(self.text.strip()) == (self.words is not None):
            raise UsageError("give --text WORDS or --words FILE, one of them: what is to be broken up")


def decompound(run: Pretrained, settings: Decompound) -> str:
    """Each word and its parts, a line each, and the accuracy where the parts are known."""
    refuse_no_decoder(run)
    lines = settings.text.split() if settings.words is None else text_of(settings.words, "list of words").splitlines()
    rows = [line.split("\t") for line in lines if line.strip()]
    if not rows:
        raise UsageError(f"{settings.words} has no words; each line is one")
    words, parts = [row[0].strip() for row in rows], list[str]()
    for start in range(0, len(words), settings.batch_size):
        some = batch_of(words[start : start + settings.batch_size], run.spec)
        parts += write(run.encoder, run.spec, some, LONGEST * max(some.lengths), settings.beams)
    shown = [f"{word}\t{' '.join(part.split())}" for word, part in zip(words, parts, strict=True)]
    known = [(part, row[1]) for part, row in zip(parts, rows, strict=True) if len(row) > 1]
    return "\n".join([*shown, *([accuracy(known)] if known else [])])


def accuracy(pairs: Sequence[tuple[str, str]]) -> str:
    """``accuracy: compounds 50.0 % (of 2), ...``: the words of which all parts are right."""
    right = [(plain(found) == plain(truth), "-" in plain(truth)) for found, truth in pairs]
    sides = {"compounds": [ok for ok, of in right if of], "other words": [ok for ok, of in right if not of]}
    sides["all"] = [ok for ok, _ in right]
    return "accuracy: " + ", ".join(
        f"{name} {100 * sum(found) / len(found):.1f} % (of {len(found):,})" for name, found in sides.items() if found
    )


def plain(word: str) -> str:
    """Without case, and with the hyphen of ASCII."""
    return word.strip().casefold().translate(SEEMS)
