"""DinoSR, https://arxiv.org/abs/2305.10005: predict the cluster of a momentum teacher's features at hidden frames.

Each of the teacher's top layers has its own codebook, clustered online; the student, which does not see the hidden
frames, predicts the entry of each layer by a linear head. A layer's features are those of its feed-forward part before
it is added, normalized over the time of a clip. Only the Transformer's layers are averages: convolutions and positions
are the student's own, until the teacher stands still, and the student's convolutions with it (section 3.1 and the
authors' code). Differs: entries start on frames of the first batch, and one that is not chosen loses weight until it
starts anew (``codebook``), where the authors' keeps its count; an encoder whose blocks have no feed-forward part gives
their output, and one that does not name its blocks is averaged whole.

    # T packed frames, H hidden frames, D features, V entries of a codebook
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View
from unlabeled.draw import Purpose
from unlabeled.errors import above, within
from unlabeled.nn.chance import row_words
from unlabeled.nn.clock import Clock
from unlabeled.nn.codebooks import OnlineKMeans
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.layers import instance_norm, last_layers
from unlabeled.nn.precision import full
from unlabeled.nn.rows import target_rows
from unlabeled.nn.spread import deviation, usage_perplexity
from unlabeled.nn.teacher import Teacher, linear_momentum
from unlabeled.nn.units import CAUSE


def dinosr_loss(logits: Sequence[Tensor], ids: Sequence[Tensor]) -> Tensor:
    """Cross-entropy against each layer's entries, mean over layers: ``[H]``."""
    layers = [F.cross_entropy(full(s), i, reduction="none") for s, i in zip(logits, ids, strict=True)]
    return torch.stack(layers).mean(0)


def shared(encoder: Any) -> list[Tensor]:
    """The parameters outside of the encoder's ``blocks``: none where it does not name them."""
    averaged = {id(p) for p in getattr(encoder, "blocks", encoder).parameters()}
    return [p for p in encoder.parameters() if id(p) not in averaged]


class DinoSR(nn.Module):
    """Self-distillation with online clustering.

    Args:
        layers: last blocks of the teacher that are clustered, N; 8 of 12 in the paper.
        entries: of each layer's codebook, V.
        decay: of a codebook's counts and sums a step, tau; in [0, 1).
        momentum: of the teacher at the start, lambda.
        final_momentum: of the teacher after the ramp.
        ramp: share of training over which momentum rises linearly.
        freeze: share of training after which the teacher and the encoder's ``embed`` stand still; 1 = never. 0.5 in
            the paper.
    """

    cause = CAUSE

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
        self.teacher = Teacher(train=False, encoder=encoder)  # targets have no dropout
        self.clock = Clock()
        self._pending: list[tuple[Tensor, ...]] = []  # rows, entries and keys of this step, one a layer

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        losses, rows = [], []
        for number, view in enumerate(views):
            index = target_rows(view)
            assert view.layout is not None
            keys = row_words(view, view.layout, self.clock.step, Purpose.ENTRY, number)[index]
            with torch.no_grad():
                layers = last_layers(self.teacher.encoder, view, self.layers, feed=True)
                targets = [instance_norm(full(f.tokens), f.layout)[index] for f in layers]
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

    @torch.no_grad()
    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the codebooks to this step's frames, and the teacher to the student, or the student's entrance back."""
        for number, (rows, ids, keys) in enumerate(self._pending):
            book = self.codebooks[number % self.layers]
            assert isinstance(book, OnlineKMeans)
            book.update(rows, ids, keys)
        self._pending = []
        if progress.fraction >= self.freeze and self.freeze < 1:
            if hasattr(encoder, "embed"):  # weight decay would move it without a gradient
                own, still = (list[Tensor](e.embed.parameters()) for e in (encoder, self.teacher.encoder))
                torch._foreach_copy_(own, still)
            return
        momentum = linear_momentum(self.momentum, self.final_momentum, progress, self.ramp)
        self.teacher.update(momentum, encoder=encoder)
        if own := shared(encoder):
            torch._foreach_copy_(shared(self.teacher.encoder), own)
