"""data2vec, https://arxiv.org/abs/2202.03555: regress the average of a momentum teacher's last layers at hidden rows.

The teacher sees the whole input and the student a masked one, so targets are contextual. Differs: a layer's output is
that of its block, after the residual, where the paper takes the feed-forward part before it; the loss is the mean over
features, where the authors' speech code divides their sum by the root of their number.

    # G groups, T packed rows, H hidden rows, D features
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Features, Layout, Loss, Needs, Progress, View
from unlabeled.errors import UsageError, above, at_least, within
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled.nn.rows import target_rows
from unlabeled.nn.spread import deviation
from unlabeled.nn.teacher import Teacher


def instance_norm(x_TD: Tensor, layout: Layout, eps: float = 1e-5) -> Tensor:
    """Each feature with mean 0 and (biased) variance 1 over the rows of its group."""
    centered = x_TD - layout.mean(x_TD)[layout.group]
    return centered * torch.rsqrt(layout.mean(centered.square()) + eps)[layout.group]


def average_layers(layers: Sequence[Features], norm: str) -> Tensor:
    """The mean of the normalized outputs of ``layers``: ``[T, D]``."""
    shapes = {(features.layout.lengths, features.tokens.shape[1]) for features in layers}
    if len(shapes) > 1:
        found = ", ".join(f"{len(f.tokens)} x {f.tokens.shape[1]}" for f in layers)
        raise ValueError(
            f"layers of different shapes cannot be averaged (rows x features: {found}): lower --objective.layers, "
            "or choose an encoder whose blocks share one grid and width"
        )
    return torch.stack([_normalize(full(f.tokens), f.layout, norm) for f in layers]).mean(0)


def _normalize(x_TD: Tensor, layout: Layout, norm: str) -> Tensor:
    if norm == "none":
        return x_TD
    return instance_norm(x_TD, layout) if norm == "instance" else F.layer_norm(x_TD, x_TD.shape[-1:])


def data2vec_loss(predicted_HD: Tensor, target_HD: Tensor, beta: float) -> Tensor:
    """Smooth L1 distance of each row (equation 2 of the paper), or squared distance with ``beta = 0``: ``[H]``."""
    if beta == 0:
        return (full(predicted_HD) - target_HD).square().mean(-1)
    return F.smooth_l1_loss(full(predicted_HD), target_HD, beta=beta, reduction="none").mean(-1)


class Data2Vec(nn.Module):
    """Masked prediction of contextual latent targets.

    Args:
        layers: last blocks of the teacher that are averaged, K.
        norm: of each block's output before averaging: layer (vision, text), instance (speech: over time) or none.
        beta: where the loss turns from squared to absolute; 0 = squared everywhere (speech).
        momentum: of the teacher at the start, tau_0.
        final_momentum: of the teacher after the ramp, tau_e.
        ramp: share of training over which momentum rises linearly from the one to the other, tau_n.
    """

    def __init__(
        self,
        encoder: Any,
        *,
        layers: int = 6,
        norm: Literal["layer", "instance", "none"] = "layer",
        beta: float = 2.0,
        momentum: float = 0.999,
        final_momentum: float = 0.9999,
        ramp: float = 0.1,
    ) -> None:
        super().__init__()
        above(0, layers=layers)
        at_least(0, beta=beta)
        within(0, 1, momentum=momentum, final_momentum=final_momentum, ramp=ramp)
        self.needs = Needs(views={"global": 1}, hidden=True, encoder=frozenset({"tokens", "mask", "layers"}))
        self.layers, self.norm, self.beta = layers, norm, beta
        self.momentum, self.final_momentum, self.ramp = momentum, final_momentum, ramp
        self.head = nn.Linear(encoder.dim, encoder.dim)
        self.teacher = Teacher(encoder=encoder)
        self.teacher.eval()

    def train(self, mode: bool = True) -> Data2Vec:
        """The teacher stays in evaluation mode: its targets have no dropout."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        rows, deviations = zip(*(self._rows(encoder, view) for view in views), strict=True)
        return Loss(union_mean(torch.cat(rows)), {"target_std": torch.stack(deviations).mean()})

    def _rows(self, encoder: Any, view: View) -> tuple[Tensor, Tensor]:
        index = target_rows(view)
        with torch.no_grad():
            target = average_layers(self._teacher_layers(view), self.norm)[index]
        predicted = self.head(encoder(view, hide="mask").tokens[index])
        return data2vec_loss(predicted, target, self.beta), deviation(target)

    def _teacher_layers(self, view: View) -> tuple[Features, ...]:
        try:
            return self.teacher.encoder(view.clean(), layers=tuple(range(-self.layers, 0))).layers
        except IndexError as error:
            raise UsageError(f"layers is {self.layers}, more than the encoder has: lower --objective.layers") from error

    def momentum_at(self, progress: Progress) -> float:
        """Linear from ``momentum`` to ``final_momentum`` over the ramp, then constant."""
        done = min(1.0, progress.fraction / self.ramp) if self.ramp else 1.0
        return self.momentum + (self.final_momentum - self.momentum) * done

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the teacher to the student."""
        self.teacher.update(self.momentum_at(progress), encoder=encoder)
