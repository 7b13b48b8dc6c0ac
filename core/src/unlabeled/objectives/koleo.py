"""KoLeo, https://arxiv.org/abs/1806.03198: views agree while each sample keeps away from its nearest neighbor.

The Kozachenko-Leonenko estimate of entropy as a regularizer, as in DINOv2 (https://arxiv.org/abs/2304.07193), beside
the cosine of views. Differs: neighbors are sought among the samples of all ranks, where DINOv2 stays on each.

    # B samples of all ranks, b samples of this rank, D features
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import at_least
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.precision import full_precision
from unlabeled.nn.spread import koleo


class KoLeo(nn.Module):
    """Views agree, and nearest neighbors are far.

    Args:
        projector: widths of the projection head, hidden and output.
        weight: of the entropy, at least 0.
    """

    cause = "too little weight on the entropy, or too high a learning rate"

    def __init__(self, encoder: Any, *, projector: tuple[int, ...] = (512, 128), weight: float = 0.1) -> None:
        super().__init__()
        at_least(0, weight=weight)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.weight = weight
        self.projector = mlp((encoder.dim, *projector))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")]
        with full_precision(z[0]):
            units: list[Tensor] = [unit(z_BD) for z_BD in z]
            similarity = torch.stack([(a * b).sum(1).mean() for a, b in combinations(units, 2)]).mean()
            entropy = torch.stack([koleo(u) for u in units]).mean()
            total = self.weight * entropy - similarity
        return Loss(total, {"cosine": similarity.detach(), "koleo": entropy.detach()})
