"""BEATs, https://arxiv.org/abs/2212.09058: predict discrete labels of hidden patches, then learn better labels.

``BEATs``: the encoder reads the visible patches alone, a label predictor all of them with a token in the hidden places,
and classifies the hidden ones. ``BEATsTokenizer``: the acoustic tokenizer of the later iterations; its encoder's output
is quantized by an online codebook, and a small decoder must give back, from the codes, the features of the last
iteration's encoder (cosine distillation). Labels of the first iteration are random projections (tokenizer
``random_projection``), of the later ones the codes (tokenizer ``units`` with ``run`` set to the tokenizer's run).
Differs: the codebook starts on rows of the first batch, and codes that are never chosen start anew (``codebook``).

    # T packed patches, H hidden patches, D features, W width of a code
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, MakeDecoder, Needs, Progress, View
from unlabeled.draw import Purpose
from unlabeled.errors import above, at_least
from unlabeled.nn.chance import row_words
from unlabeled.nn.clock import Clock
from unlabeled.nn.codebooks import OnlineKMeans
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.heads import unit
from unlabeled.nn.precision import full
from unlabeled.nn.rows import restore, target_rows
from unlabeled.nn.spread import usage_perplexity
from unlabeled.nn.teacher import Frozen
from unlabeled.nn.units import CAUSE


class BEATs(nn.Module):
    """Masked classification of discrete labels, from visible patches and a label predictor (the decoder)."""

    cause = CAUSE

    def __init__(self, encoder: Any, decoder: MakeDecoder, vocabulary: int) -> None:
        super().__init__()
        self.needs = Needs(
            views={"global": 1}, hidden=True, decoder=True, vocabulary=2, encoder=frozenset({"tokens", "drop"})
        )
        self.vocabulary = vocabulary
        self.token = nn.Parameter(torch.randn(encoder.dim) * 0.02)
        self.decoder = decoder(dim=encoder.dim, width=vocabulary)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        losses, right, codes = [], [], []
        for view in views:
            assert view.ids is not None
            assert view.layout is not None
            features, index = encoder(view, hide="drop"), target_rows(view)
            whole = restore(features.tokens, features.kept, self.token, view.layout.total)
            scores, labels = full(self.decoder(whole, view.layout)[index]), _single(view.ids)
            losses.append(F.cross_entropy(scores, labels[index], reduction="none"))
            right.append((scores.argmax(1) == labels[index]).float())
            codes.append(labels)
        parts = {"accuracy": union_mean(torch.cat(right))}
        parts["code_perplexity"] = usage_perplexity(torch.cat(codes), self.vocabulary)
        return Loss(union_mean(torch.cat(losses)), parts)


def _single(ids: Tensor) -> Tensor:
    if ids.dim() == 2 and ids.shape[1] > 1:
        raise ValueError(f"the tokenizer gives {ids.shape[1]} labels a patch; beats takes one: set its books to 1")
    return ids.reshape(-1)


class BEATsTokenizer(nn.Module):
    """Self-distilled tokenizer: codes from which a teacher's features can be restored.

    Args:
        run: run folder of the teacher, the last iteration's encoder; empty = the encoder's own start, for tests.
        entries: of the codebook, K; 1024 in the paper.
        width: of a code; 256 in the paper.
        commitment: weight of the squared distance from the encoder's output to its code.
        decay: of the codebook's counts and sums a step, in [0, 1).
    """

    cause = CAUSE

    def __init__(
        self,
        encoder: Any,
        decoder: MakeDecoder,
        frozen: Any = None,
        *,
        run: str = "",
        entries: int = 256,
        width: int = 64,
        commitment: float = 1.0,
        decay: float = 0.99,
    ) -> None:
        super().__init__()
        above(0, width=width)
        at_least(0, commitment=commitment)
        self.needs = Needs(views={"global": 1}, decoder=True, encoder=frozenset({"tokens"}))
        self.commitment = commitment
        self.teacher = Frozen(frozen, encoder)
        self.enter = nn.Linear(encoder.dim, width)
        self.codebook = OnlineKMeans(entries, width, decay=decay, normalize=True)
        self.decoder = decoder(dim=width, width=self.teacher.encoder.dim)
        self.clock = Clock()
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        distances, commitments, codes = [], [], []
        for number, view in enumerate(views):
            features = encoder(view)
            keys = row_words(view, features.layout, self.clock.step, Purpose.ENTRY, number)
            z = unit(self.enter(features.tokens))
            ids = self.codebook(z, keys)
            code = self.codebook.entries[ids]
            restored = self.decoder(z + (code - z).detach(), features.layout)
            target = self.teacher(view.clean()).tokens
            distances.append(1 - (unit(restored) * unit(target)).sum(1))
            commitments.append((z - code).square().sum(1))
            codes.append(ids)
            if self.training:
                self._pending.append((z.detach(), ids, keys))
        distance, commitment = union_mean(torch.cat(distances)), union_mean(torch.cat(commitments))
        parts = {"distance": distance.detach(), "commitment": commitment.detach()}
        parts["code_perplexity"] = usage_perplexity(torch.cat(codes), len(self.codebook.counts))
        return Loss(distance + self.commitment * commitment, parts)

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the codebook to this step's rows."""
        for rows, ids, keys in self._pending:
            self.codebook.update(rows, ids, keys)
        self._pending = []
