"""data2vec, https://arxiv.org/abs/2202.03555: regress the average of a momentum teacher's last layers at hidden rows.

The teacher sees the whole input and the student a masked one, so targets are contextual. Differs: a layer's output is
that of its block, after the residual, where the paper takes the feed-forward part before it; the loss is the mean over
features, where the authors' speech code divides their sum by the root of their number.

    # H hidden rows, D features
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View
from unlabeled.errors import above, at_least, within
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.layers import average_layers, last_layers
from unlabeled.nn.precision import full
from unlabeled.nn.rows import target_rows
from unlabeled.nn.spread import deviation
from unlabeled.nn.teacher import Teacher, linear_momentum


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

    cause = "targets that become constant: raise the teacher's momentum, lower the learning rate, or hide more"

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
        self.teacher = Teacher(train=False, encoder=encoder)  # targets have no dropout

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        rows, deviations = zip(*(self._rows(encoder, view) for view in views), strict=True)
        return Loss(union_mean(torch.cat(rows)), {"target_std": torch.stack(deviations).mean()})

    def _rows(self, encoder: Any, view: View) -> tuple[Tensor, Tensor]:
        index = target_rows(view)
        target = average_layers(last_layers(self.teacher.encoder, view, self.layers), self.norm)[index]
        predicted = self.head(encoder(view, hide="mask").tokens[index])
        return data2vec_loss(predicted, target, self.beta), deviation(target)

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the teacher to the student."""
        momentum = linear_momentum(self.momentum, self.final_momentum, progress, self.ramp)
        self.teacher.update(momentum, encoder=encoder)
