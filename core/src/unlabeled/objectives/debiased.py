"""Debiased contrastive learning, https://arxiv.org/abs/2007.00224, with hard negatives, https://arxiv.org/abs/2010.04592.

Others of the batch may be of the sample's own class, with probability ``prior``: what positives say of that class is
taken out of the sum over negatives. With ``hardness`` negatives weigh by exp(hardness * logit). Differs: takes any
number of global views and averages over their pairs.

    # B samples of all ranks, b samples of this rank, D features, R = 2b anchors, N = 2B - 2 negatives of each
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above, at_least, below_one
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import own_rows
from unlabeled.nn.precision import full_precision


def debiased_loss(a_bD: Tensor, b_bD: Tensor, temperature: float, prior: float, hardness: float = 0.0) -> Tensor:
    """Equations 7 and 8 of unit vectors, of hard negatives equation 4 of the second paper; the mean over both views.

    -log(e^p / (e^p + N g)), g = max((mean_w e^n - prior e^p) / (1 - prior), e^(-1 / temperature)), with p the logit of
    the positive, n those of negatives, and weights w of the mean in proportion to e^(hardness n).
    """
    keys, own = torch.cat((gather(a_bD), gather(b_bD))), own_rows(a_bD)
    logits = torch.cat((a_bD, b_bD)) @ keys.T / temperature
    same = torch.stack((own, own + len(keys) // 2), 1).repeat(2, 1)
    negatives = logits.scatter(1, same, float("-inf"))
    positive = ((a_bD * b_bD).sum(1) / temperature).repeat(2)
    top = 1 / temperature  # no logit is above, so nothing overflows
    hard = torch.logsumexp((1 + hardness) * negatives, 1)
    mean = hard - (torch.logsumexp(hardness * negatives, 1) if hardness else math.log(len(keys) - 2))
    estimate = ((mean - top).exp() - prior * (positive - top).exp()) / (1 - prior)
    least = math.exp(-2 * top)
    floor = torch.full_like(estimate, -2 * top)
    log_g = torch.where(estimate > least, estimate.clamp(min=torch.finfo(estimate.dtype).tiny).log(), floor) + top
    return (torch.logaddexp(positive, log_g + math.log(len(keys) - 2)) - positive).mean()


class Debiased(nn.Module):
    """Pull two views together, push others away but for the share of them that may be of one class with the sample.

    Args:
        projector: widths of the projection head after the encoder, hidden and output; (2048, 128) in the paper.
        temperature: of the softmax over similarities, above 0; t, 0.5 in the paper.
        prior: probability that another sample is of the same class, in [0, 1); tau+, 0.1 in the paper.
        hardness: weight of negatives by their likeness, at least 0; beta of the second paper, which has 0.5 to 2.
    """

    cause = "views that share a shortcut, too high a prior, or too high a learning rate"

    def __init__(
        self, encoder: Any, *, projector: tuple[int, ...] = (512, 128), temperature: float = 0.5, prior: float = 0.1,
        hardness: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, prior=prior, hardness=hardness)
        below_one(prior=prior)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.temperature, self.prior, self.hardness = temperature, prior, hardness
        self.projector = mlp((encoder.dim, *projector))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")]
        with full_precision(z[0]):
            pairs = combinations([unit(z_BD) for z_BD in z], 2)
            found = [debiased_loss(a, b, self.temperature, self.prior, self.hardness) for a, b in pairs]
            total = torch.stack(found).mean()
        return Loss(total, {"debiased": total.detach()})
