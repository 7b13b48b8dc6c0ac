"""A lexicon of two languages for recipe code_switch, from the word vectors of a run that read both.

    unlabeled text pretrain sent2vec --data both/ --out runs/words
    unlabeled text lexicon runs/words --one english.txt --other german.txt --out lexicon.tsv

A word's vector is the mean of its tokens'. Words that both languages have are translations of themselves and are left
out; those that are nearest to each other are written, once in each direction.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unlabeled.errors import UsageError, at_least
from unlabeled_text.data.reading import Columns, read
from unlabeled_text.ops.translation import induced
from unlabeled_text.ops.vocabulary import table_of

if TYPE_CHECKING:
    from unlabeled.runs.pretrained import Pretrained
    from unlabeled_text.batch import TextSpec

WORD = re.compile(r"[^\W\d_]+(?:[\u0300-\u036f\u0900-\u0dff]+[^\W\d_]*)*")  # letters, with the marks on them


@dataclass(frozen=True, kw_only=True)
class Languages:
    """Settings.

    Args:
        one: a file or folder of texts of one language.
        other: of the other language.
        least: times that a word must occur.
        most: most words of a language, the commonest.
    """

    one: Path
    other: Path
    least: int = 5
    most: int = 10000

    def __post_init__(self) -> None:
        at_least(1, least=self.least, most=self.most)


def words_in(path: Path, least: int, most: int) -> list[str]:
    """The commonest words of texts, the commonest first."""
    counts: Counter[str] = Counter()
    for record in read(path, "line", Columns(), lambda where, why: None):
        for text in record.texts:
            counts.update(WORD.findall(text))
    found = [word for word, count in counts.most_common(most) if count >= least]
    if not found:
        raise UsageError(f"{path} has no word that occurs {least} times; --least asks for fewer")
    return found


def vectors(words: list[str], spec: TextSpec, table_VE: Tensor) -> Tensor:
    """``[N, E]``: the mean of the vectors of each word's tokens, as they are inside a text."""
    found = [torch.from_numpy(ids).long() for ids, _ in spec.codec.encode([f" {word}" for word in words])]
    return torch.stack([table_VE[ids].mean(0) for ids in found])


def lexicon(run: Pretrained, languages: Languages, *, out: Path) -> str:
    """Words of two languages that translate each other, by the vectors of a run that read both.

    Args:
        out: file to write: a word, a tab and its translation a line.
    """
    try:
        table = table_of(run.encoder).detach().float().cpu()
    except ValueError as error:
        raise UsageError(str(error)) from error
    one, other = (words_in(path, languages.least, languages.most) for path in (languages.one, languages.other))
    place = {word: n for n, word in enumerate(other)}
    same = torch.tensor([(n, place[word]) for n, word in enumerate(one) if word in place]).reshape(-1, 2).long()
    pairs = induced(vectors(one, run.spec, table), vectors(other, run.spec, table), same)
    both = set(one) & set(other)
    found = [(one[a], other[b]) for a, b in pairs.tolist() if not both & {one[a], other[b]}]
    if not found:
        raise UsageError(
            "no two words are each other's nearest: are the texts of two languages, and did RUN read both?"
        )
    lines = [f"{a}\t{b}\n" for pair in found for a, b in (pair, pair[::-1])]
    out.write_text("".join(lines), encoding="utf-8")
    return f"{len(found):,} pairs of {len(one):,} and {len(other):,} words, {len(both):,} of which both have: {out}"
