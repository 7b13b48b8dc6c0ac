"""SALT's choice of texts, https://arxiv.org/abs/2410.18779: those that a small model finds hard, but can learn.

    unlabeled text choose runs/small --data texts/ --out chosen.txt --share 0.3

A word that is not among the small model's likeliest counts as noise, with a loss of 0; the score of a text is the
median of its words' losses, and the texts with the highest are kept. Differs: texts stand in for the paper's
fixed-length sequences, and are written as their tokens say them; a text of which no word is likely has score 0.

    # N texts
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import View
from unlabeled.errors import UsageError, above, within
from unlabeled.probes.embedding import batches, evaluating
from unlabeled_text.ops.choice import scores
from unlabeled_text.ops.vocabulary import next_rows, refuse_two_sided, table_of

if TYPE_CHECKING:
    from unlabeled.runs.pretrained import Pretrained

BATCH = 64


def score_texts(encoder: Any, data: Any, likely: int) -> Tensor:
    """``[N]``: the score of every text of ``data``."""
    found = []
    with evaluating(encoder):
        for batch in batches(data, torch.arange(len(data)), batch_size=BATCH, workers=0):
            out = encoder(View(batch, "clean"))
            index = next_rows(out.layout)
            logits = F.linear(out.tokens[index], table_of(encoder))
            words: Tensor = batch.tokens[index + 1]  # type: ignore[attr-defined]
            found.append(scores(logits, words, out.layout.group[index], len(batch), likely))
    return torch.cat(found)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Settings.

    Args:
        share: of the texts that is kept, in (0, 1].
        likely: a word beyond this many likeliest is noise; k.
    """

    share: float = 0.3
    likely: int = 10

    def __post_init__(self) -> None:
        above(0, share=self.share, likely=self.likely)
        within(0, 1, share=self.share)


def choose(run: Pretrained, data: Any, choice: Choice, *, out: Path) -> str:
    """The texts that a small causal model finds hard, but can learn; RUN is one of recipe clm.

    Args:
        data: texts to choose from.
        out: text file to write, a text a line.
    """
    try:
        refuse_two_sided(run.encoder, "choose")
    except ValueError as error:
        raise UsageError(str(error)) from error
    score = score_texts(run.encoder, data, choice.likely)
    count = max(1, round(choice.share * len(data)))
    chosen = score.topk(count).indices.sort().values
    out.write_text("".join(f"{' '.join(t.split())}\n" for t in data.texts(chosen)), encoding="utf-8")
    return f"{count:,} of {len(data):,} texts, score {score[chosen].min():.3g} and higher: {out}"
