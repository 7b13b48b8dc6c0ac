"""Relational reasoning, https://arxiv.org/abs/2006.05849: a relation head tells pairs of one sample from pairs of two.

Of each pair of views the features of one sample are concatenated, and those of two samples; a perceptron says which it
is, by binary cross-entropy that weighs easy pairs down. Differs: the other sample is the next by id, at a distance that
grows from pair to pair, where the paper shifts the batch, whose order says nothing here.

    # B samples of all ranks, b samples of this rank, D features
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above, at_least
from unlabeled.nn.distributed import BatchNorm, gather
from unlabeled.nn.infonce import own_rows
from unlabeled.nn.precision import full, full_precision


def partners(ids_B: Tensor, distance: int) -> Tensor:
    """``int64[B]``: of each sample the one that stands ``distance`` after it in the order of ids, never itself.

    >>> partners(torch.tensor([7, 3, 5]), 1)  # 7 -> 3, 3 -> 5, 5 -> 7
    tensor([1, 2, 0])
    """
    order = torch.argsort(ids_B, stable=True)
    steps = 1 + (distance - 1) % (len(ids_B) - 1)
    return torch.empty_like(order).scatter_(0, order, order.roll(-steps))


def focal(scores_R: Tensor, same_R: Tensor, gamma: float) -> Tensor:
    """Mean binary cross-entropy, weighed by (1 - probability of the truth)^gamma.

    >>> focal(torch.zeros(2), torch.tensor([1.0, 0.0]), gamma=1.0)
    tensor(0.3466)
    """
    loss = F.binary_cross_entropy_with_logits(scores_R, same_R, reduction="none")
    return ((1 - (-loss).exp()).pow(gamma) * loss).mean() if gamma else loss.mean()


class Relational(nn.Module):
    """Tell whether two views are of one sample.

    Args:
        hidden: width of the relation head's layer; 256 in the paper.
        gamma: how much easy pairs weigh down, at least 0; 2 in the paper, 0 = plain cross-entropy.
    """

    cause = "views that share a shortcut, or too high a learning rate"

    def __init__(self, encoder: Any, *, hidden: int = 256, gamma: float = 2.0) -> None:
        super().__init__()
        above(0, hidden=hidden)
        at_least(0, gamma=gamma)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.gamma = gamma
        self.relation = nn.Sequential(
            nn.Linear(2 * encoder.dim, hidden, bias=False), BatchNorm(hidden), nn.LeakyReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        chosen = role(views, "global")
        z = [encoder(view).pooled for view in chosen]
        ids, own = gather(chosen[0].batch.ids), own_rows(z[0])
        rows = []
        for number, (a, b) in enumerate(combinations(z, 2), 1):
            other = gather(b)[partners(ids, number)[own]]
            rows += [torch.cat((a, b), 1), torch.cat((a, other), 1)]
        scores = full(self.relation(torch.cat(rows)))[:, 0]
        same = torch.cat((scores.new_ones(len(own)), scores.new_zeros(len(own)))).repeat(len(rows) // 2)
        with full_precision(scores):
            total = focal(scores, same, self.gamma)
        right = ((scores > 0) == (same > 0)).float().mean()
        return Loss(total, {"relation": total.detach(), "accuracy": right})
