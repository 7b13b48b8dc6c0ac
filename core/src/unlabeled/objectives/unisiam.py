"""UniSiam, https://arxiv.org/abs/2207.09176: predict the other view, and keep all samples apart by a low-bias estimate.

SimSiam's alignment beside weight * log mean exp(similarity / temperature) over pairs of different samples: the mean
inside the logarithm is over the whole batch, which bounds mutual information with less bias than InfoNCE's. Without the
paper's distillation. Differs: takes any number of global views.

    # B samples of all ranks, V views, D features
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above, at_least
from unlabeled.nn.cosine import across
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import own_rows
from unlabeled.nn.precision import full_precision


def uniformity(z_VbD: Tensor, temperature: float) -> Tensor:
    """log mean of exp(<z, z'> / temperature) over all pairs of views of different samples, of unit vectors.

    >>> uniformity(torch.eye(3)[None], temperature=1.0)
    tensor(0.)
    """
    views, _, width = z_VbD.shape
    keys = gather(z_VbD.transpose(0, 1)).reshape(-1, width)  # sample after sample
    own = own_rows(z_VbD[0]).repeat(views)
    logits = z_VbD.flatten(0, 1) @ keys.T / temperature
    same = own[:, None] * views + torch.arange(views, device=own.device)
    each = logits.scatter(1, same, float("-inf")).logsumexp(1)
    everyone = gather(each)
    return everyone.logsumexp(0) - math.log(len(everyone) * (len(keys) - views))


class UniSiam(nn.Module):
    """Predict the other view's projection, with the gradient stopped there, and spread samples over the sphere.

    Args:
        projector: widths of the projection head, hidden and output; (2048, 2048, 2048) in the paper.
        predictor: hidden width of the prediction head, a bottleneck; 512 in the paper.
        weight: of the uniformity, at least 0; lambda, 0.1 in the paper.
        temperature: of the uniformity, above 0; t, 2 in the paper.
    """

    cause = "a predictor that learns too slowly, too little weight on uniformity, or too high a learning rate"

    def __init__(
        self, encoder: Any, *, projector: tuple[int, ...] = (512, 512, 512), predictor: int = 128, weight: float = 0.1,
        temperature: float = 2.0,
    ) -> None:  # fmt: skip
        super().__init__()
        above(0, predictor=predictor, temperature=temperature)
        at_least(0, weight=weight)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.weight, self.temperature = weight, temperature
        self.projector = mlp((encoder.dim, *projector), last_norm=True, last_affine=False)
        self.predictor = mlp((projector[-1], predictor, projector[-1]))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")]
        similarity = across([self.predictor(z_BD) for z_BD in z], z)
        with full_precision(z[0]):
            spread = uniformity(torch.stack([unit(z_BD) for z_BD in z]), self.temperature)
            total = self.weight * spread - similarity
        return Loss(total, {"cosine": similarity.detach(), "uniformity": spread.detach()})
