"""D-SLA, https://arxiv.org/abs/2202.02989: tell a graph from its perturbations, by how much it was edited.

Three losses: pick the original among its perturbations; distances of embeddings in proportion to the known edit
distances; and perturbations nearer than other graphs by a margin. Views of role ``perturbed`` carry ``edits``, the
number of links that were changed. Differs: other graphs are all of the batch of all ranks.

    # B samples of all ranks, b samples of this rank, V perturbations, D features
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above, at_least
from unlabeled.nn.distributed import gather, union_mean
from unlabeled.nn.heads import mlp
from unlabeled.nn.infonce import own_rows
from unlabeled.nn.precision import full, full_precision


def distances(a_BD: Tensor, b_BD: Tensor) -> Tensor:
    """Euclidean, row by row; with a gradient at 0 too."""
    return ((a_BD - b_BD).square().sum(1) + 1e-12).sqrt()


def edit_loss(distance_VB: Tensor, edits_VB: Tensor) -> Tensor:
    """``[B]``: squared differences of distance per edit, averaged over the pairs of perturbations of a graph."""
    ratio = distance_VB / edits_VB.clamp(min=1e-6)
    return torch.stack([(ratio[i] - ratio[j]).square() for i, j in combinations(range(len(ratio)), 2)]).mean(0)


def margin_loss(distance_VB: Tensor, others_BO: Tensor, margin: float) -> Tensor:
    """``[B]``: how far perturbations fail to be nearer than any other graph by ``margin``, averaged over the others."""
    gap = margin + distance_VB[:, :, None] - others_BO[None]
    return F.relu(gap).mean((0, 2))


class DSLA(nn.Module):
    """Discrepancy-based self-supervised learning.

    Args:
        edit: weight of the edit distance term, at least 0; lambda_1, 0.7 in the paper.
        margin_weight: weight of the margin term, at least 0; lambda_2, 0.5 in the paper.
        margin: alpha, above 0; 5 in the paper.
        hidden: width of the discriminator's hidden layer.
    """

    def __init__(
        self, encoder: Any, *, edit: float = 0.7, margin_weight: float = 0.5, margin: float = 5.0, hidden: int = 128
    ) -> None:
        super().__init__()
        above(0, margin=margin, hidden=hidden)
        at_least(0, edit=edit, margin_weight=margin_weight)
        self.needs = Needs(views={"global": 1, "perturbed": 2}, params=("edits",), batch=2, couples=True)
        self.edit, self.margin_weight, self.margin = edit, margin_weight, margin
        self.score = mlp((encoder.dim, hidden, 1), norm="none")

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        original = encoder(role(views, "global")[0]).pooled
        changed = role(views, "perturbed")
        found = [encoder(view).pooled for view in changed]
        with full_precision(original):
            z, perturbed = full(original), [full(x) for x in found]
            edits = torch.stack([view.params["edits"].to(z.dtype) for view in changed])
            logits = torch.stack([self.score(x)[:, 0] for x in (z, *perturbed)], dim=1)
            pick = union_mean(F.cross_entropy(logits, torch.zeros_like(own_rows(z)), reduction="none"))
            apart = torch.stack([distances(z, x) for x in perturbed])
            edit = union_mean(edit_loss(apart, edits))
            margin = union_mean(margin_loss(apart, self._others(z), self.margin))
        total = pick + self.edit * edit + self.margin_weight * margin
        return Loss(total, {"pick": pick.detach(), "edit": edit.detach(), "margin": margin.detach()})

    def _others(self, z_bD: Tensor) -> Tensor:
        """``[b, B - 1]`` distances to every other graph of the batch."""
        keys = gather(z_bD)
        keep = torch.ones(len(z_bD), len(keys), dtype=torch.bool, device=z_bD.device)
        keep[torch.arange(len(z_bD)), own_rows(z_bD)] = False
        others = keys.expand(len(z_bD), -1, -1)[keep].reshape(len(z_bD), len(keys) - 1, -1)
        return ((z_bD[:, None] - others).square().sum(2) + 1e-12).sqrt()
