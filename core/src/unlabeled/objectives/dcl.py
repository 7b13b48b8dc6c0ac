"""DCL, https://arxiv.org/abs/2110.06848: InfoNCE between views whose denominator leaves the positive out.

A pair that agrees already is then pulled as before, so that small batches suffice. With ``sigma`` pairs that agree
weigh less (DCLW). Differs: takes any number of global views and averages the loss over their pairs.

    # B samples of all ranks, b samples of this rank, D features
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above, at_least
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import own_rows
from unlabeled.nn.precision import full_precision


def mises_fisher(cosine_b: Tensor, sigma: float) -> Tensor:
    """``[b]`` weights of positives, of mean 1 over all ranks: 2 - B softmax(cosine / sigma)."""
    scaled = cosine_b.detach() / sigma
    every_B = gather(scaled)
    return 2 - len(every_B) * (scaled - every_B.logsumexp(0)).exp()


def dcl_loss(a_bD: Tensor, b_bD: Tensor, temperature: float, sigma: float = 0.0) -> Tensor:
    """Equation 6 of unit vectors: -w <a, b> / tau + log of the sum over all vectors of other samples, mean over 2b."""
    keys, own = torch.cat((gather(a_bD), gather(b_bD))), own_rows(a_bD)
    logits = torch.cat((a_bD, b_bD)) @ keys.T / temperature
    same = torch.stack((own, own + len(keys) // 2), 1).repeat(2, 1)
    negative = logits.scatter(1, same, float("-inf")).logsumexp(1)
    cosine = (a_bD * b_bD).sum(1)
    weighted = mises_fisher(cosine, sigma) * cosine if sigma else cosine
    return (negative - weighted.repeat(2) / temperature).mean()


class DCL(nn.Module):
    """Pull two views of a sample together, push all other samples away, each by itself.

    Args:
        projector: widths of the projection head after the encoder, hidden and output; (2048, 128) in the paper.
        temperature: of the softmax over similarities, above 0; tau, 0.1 in the paper.
        sigma: width of the weighting of positives, at least 0; 0 = none (DCL), 0.5 in the paper's DCLW.
    """

    cause = "views that share a shortcut, too high a temperature, or too high a learning rate"

    def __init__(
        self, encoder: Any, *, projector: tuple[int, ...] = (512, 128), temperature: float = 0.1, sigma: float = 0.0
    ) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, sigma=sigma)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.temperature, self.sigma = temperature, sigma
        self.projector = mlp((encoder.dim, *projector))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")]
        with full_precision(z[0]):
            pairs = combinations([unit(z_BD) for z_BD in z], 2)
            total = torch.stack([dcl_loss(a, b, self.temperature, self.sigma) for a, b in pairs]).mean()
        return Loss(total, {"dcl": total.detach()})
