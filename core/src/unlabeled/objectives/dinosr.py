"""DinoSR, https://arxiv.org/abs/2305.10005: predict the cluster of a momentum teacher's features at hidden frames.

Each of the teacher's top layers has its own codebook, clustered online; the student, which does not see the hidden
frames, predicts the entry of each layer by a linear head. Differs: entries start on frames of the first batch
(``codebook``); the teacher's features are normalized over the time of a clip, as data2vec's speech targets are.

    # T packed frames, H hidden frames, D features, V entries of a codebook
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Features, Loss, Needs, Progress, View
from unlabeled.draw import Purpose
from unlabeled.errors import UsageError, above, within
from unlabeled.nn.chance import row_words
from unlabeled.nn.codebooks import OnlineKMeans
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled.nn.rows import target_rows
from unlabeled.nn.spread import deviation, usage_perplexity
from unlabeled.nn.teacher import Teacher
from unlabeled.objectives.data2vec import instance_norm


def dinosr_loss(logits: Sequence[Tensor], ids: Sequence[Tensor]) -> Tensor:
    """Cross-entropy against each layer's entries, mean over layers: ``[H]``."""
    return torch.stack([F.cross_entropy(full(s), i, reduction="none") for s, i in zip(logits, ids, strict=True)]).mean(
        0
    )


class DinoSR(nn.Module):
    """Self-distillation with online clustering.

    Args:
        layers: last blocks of the teacher that are clustered, N; 8 of 12 in the paper.
        entries: of each layer's codebook, V.
        decay: of a codebook's counts and sums a step, tau; in [0, 1).
        momentum: of the teacher at the start, lambda.
        final_momentum: of the teacher after the ramp.
        ramp: share of training over which momentum rises linearly.
        freeze: share of training after which the teacher stands still; 1 = never. 0.5 in the paper.
    """

    step: Tensor

    def __init__(
        self,
        encoder: Any,
        *,
        layers: int = 2,
        entries: int = 256,
        decay: float = 0.9,
        momentum: float = 0.999,
        final_momentum: float = 0.9999,
        ramp: float = 0.1,
        freeze: float = 0.5,
    ) -> None:
        super().__init__()
        above(0, layers=layers)
        within(0, 1, momentum=momentum, final_momentum=final_momentum, ramp=ramp, freeze=freeze)
        self.needs = Needs(views={"global": 1}, hidden=True, encoder=frozenset({"tokens", "mask", "layers"}))
        self.layers, self.momentum, self.final_momentum = layers, momentum, final_momentum
        self.ramp, self.freeze = ramp, freeze
        self.heads = nn.ModuleList(nn.Linear(encoder.dim, entries) for _ in range(layers))
        self.codebooks = nn.ModuleList(OnlineKMeans(entries, encoder.dim, decay=decay) for _ in range(layers))
        self.teacher = Teacher(encoder=encoder)
        self.teacher.eval()
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self._pending: list[tuple[Tensor, ...]] = []  # rows, entries and keys of this step, one a layer

    def train(self, mode: bool = True) -> DinoSR:
        """The teacher stays in evaluation mode: its targets have no dropout."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        losses, rows = [], []
        for number, view in enumerate(views):
            index = target_rows(view)
            assert view.layout is not None
            keys = row_words(view, view.layout, self.step, Purpose.ENTRY, number)[index]
            with torch.no_grad():
                targets = [instance_norm(full(f.tokens), f.layout)[index] for f in self._teacher_layers(view)]
                ids = [book(x, keys) for book, x in zip(self.codebooks, targets, strict=True)]
            tokens = encoder(view, hide="mask").tokens[index]
            losses.append(dinosr_loss([head(tokens) for head in self.heads], ids))
            rows.append((targets, ids, [keys] * self.layers))
        joined: list[tuple[Tensor, ...]] = [
            tuple(torch.cat([part[k] for part in column]) for column in zip(*rows, strict=True))
            for k in range(self.layers)
        ]
        if self.training:
            self._pending += joined
        parts = {"code_perplexity": usage_perplexity(torch.stack([ids for _, ids, _ in joined], 1), self._entries)}
        parts["target_std"] = deviation(torch.cat([x for x, _, _ in joined]))
        return Loss(union_mean(torch.cat(losses)), parts)

    @property
    def _entries(self) -> int:
        return int(self.heads[0].out_features)  # type: ignore[arg-type]

    def _teacher_layers(self, view: View) -> tuple[Features, ...]:
        try:
            return self.teacher.encoder(view.clean(), layers=tuple(range(-self.layers, 0))).layers
        except IndexError as error:
            raise UsageError(f"layers is {self.layers}, more than the encoder has: lower --objective.layers") from error

    def momentum_at(self, progress: Progress) -> float:
        """Linear over the ramp, then constant, then 1: the teacher stands still."""
        if progress.fraction >= self.freeze and self.freeze < 1:
            return 1.0
        done = min(1.0, progress.fraction / self.ramp) if self.ramp else 1.0
        return self.momentum + (self.final_momentum - self.momentum) * done

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the codebooks to this step's frames, and the teacher to the student."""
        for number, (rows, ids, keys) in enumerate(self._pending):
            book = self.codebooks[number % self.layers]
            assert isinstance(book, OnlineKMeans)
            book.update(rows, ids, keys)
        self._pending = []
        self.step.fill_(progress.step)
        self.teacher.update(self.momentum_at(progress), encoder=encoder)
