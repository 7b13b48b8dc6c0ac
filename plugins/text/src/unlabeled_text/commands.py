"""SALT's choice of texts, https://arxiv.org/abs/2410.18779: those that a small model finds hard, but can learn.

    unlabeled text choose runs/small --data texts/ --out chosen.txt --share 0.3

A word that is not among the small model's likeliest counts as noise, with a loss of 0; the score of a text is the
median of its words' losses, and the texts with the highest are kept. Differs: texts stand in for the paper's
fixed-length sequences, and are written as their tokens say them; a text of which no word is likely has score 0.

    # B texts, H words that another precedes, V words of the vocabulary
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.api import open_data
from unlabeled.contract import View
from unlabeled.errors import UsageError
from unlabeled.probes.embedding import batches, evaluating
from unlabeled.runs.encoder import load_encoder
from unlabeled.runs.folder import is_run, read_run
from unlabeled_text.ops.vocabulary import next_rows, refuse_two_sided, table_of, word_loss

BATCH = 64


def scores(logits_HV: Tensor, words_H: Tensor, group_H: Tensor, groups: int, likely: int) -> Tensor:
    """``[B]``: the median of the losses of each text's words, 0 for a word beyond the ``likely`` likeliest."""
    loss_H = word_loss(logits_HV, words_H)
    right = logits_HV.gather(1, words_H[:, None])
    within = (logits_HV > right).sum(1) < likely
    loss_H = torch.where(within, loss_H, torch.zeros_like(loss_H))
    return torch.stack([loss_H[group_H == g].median() if bool((group_H == g).any()) else loss_H.new_zeros(())
                        for g in range(groups)])  # fmt: skip


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


def choose(domain: str, words: Sequence[str]) -> int:
    """``unlabeled text choose RUN --data PATH --out FILE``: the texts that a small causal model scores highest."""
    args = _arguments(domain, words)
    run = Path(args.run)
    if not is_run(run):
        raise UsageError(f"{run} is no run folder; train a small model first: unlabeled {domain} pretrain clm")
    saved = load_encoder(run)
    try:
        refuse_two_sided(saved.encoder, "choose")
    except ValueError as error:
        raise UsageError(str(error)) from error
    data = open_data(domain, args.data, read_run(run), saved.spec)
    score = score_texts(saved.encoder, data, args.likely)
    count = max(1, round(args.share * len(data)))
    chosen = score.topk(count).indices.sort().values
    Path(args.out).write_text("".join(f"{' '.join(t.split())}\n" for t in data.texts(chosen)), encoding="utf-8")
    print(f"{count:,} of {len(data):,} texts, score {score[chosen].min():.3g} and higher: {args.out}")
    return 0


def _arguments(domain: str, words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(f"unlabeled {domain} choose", description=choose.__doc__)
    parser.add_argument("run", help="run folder of a small causal model (recipe clm)")
    parser.add_argument("--data", help="texts to choose from; those of the run where it is left out")
    parser.add_argument("--out", required=True, help="text file to write, a text a line")
    parser.add_argument("--share", type=float, default=0.3, help="share of the texts that is kept, in (0, 1]")
    parser.add_argument("--likely", type=int, default=10, help="a word beyond this many likeliest is noise; k")
    args = parser.parse_args(list(words))
    if not 0 < args.share <= 1 or args.likely < 1:
        raise UsageError(f"--share is {args.share} and --likely {args.likely}; share lies in (0, 1], likely from 1 on")
    return args
