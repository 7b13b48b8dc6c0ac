"""D-SLA, https://arxiv.org/abs/2202.02989: tell a graph from its perturbations, by how much it was edited.

Three losses: pick the original among its perturbations; distances of embeddings in proportion to the known edit
distances; and perturbations nearer than other graphs by a margin. Views of role ``perturbed`` carry ``edits``, the
number of links that were changed. Differs: other graphs are all of the batch of all ranks; an edit distance counts a
dropped and an added link as two, where the authors' code counts them as one; the optional strongly perturbed graph is
left out.

    # B samples of all ranks, b samples of this rank, V perturbations, D features
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import UsageError, above, at_least
from unlabeled.nn.distributed import gather, union_mean
from unlabeled.nn.heads import mlp
from unlabeled.nn.infonce import own_rows
from unlabeled.nn.precision import full, full_precision
from unlabeled_graph.batch import joined


def distances(a_BD: Tensor, b_BD: Tensor) -> Tensor:
    """Euclidean, row by row; with a gradient at 0 too."""
    return ((a_BD - b_BD).square().sum(1) + 1e-12).sqrt()


def edit_loss(distance_VB: Tensor, edits_VB: Tensor) -> Tensor:
    """``[B]``: squared differences of distance per edit, averaged over the pairs of perturbations of a graph.

    A graph that could not be edited (a single node) is in no proportion to anything, and has loss 0.
    """
    edited = edits_VB > 0
    ratio = torch.where(edited, distance_VB / torch.where(edited, edits_VB, 1.0), 0.0)
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
        hidden: width of the discriminator's two hidden layers; 0 = the encoder's, as in the paper.
    """

    def __init__(
        self, encoder: Any, *, edit: float = 0.7, margin_weight: float = 0.5, margin: float = 5.0, hidden: int = 0
    ) -> None:
        super().__init__()
        above(0, margin=margin)
        at_least(0, edit=edit, margin_weight=margin_weight, hidden=hidden)
        spec = getattr(encoder, "spec", None)
        if spec is not None and spec.level == "node":
            raise UsageError("d_sla compares many graphs, and the data are nodes of one: give graphs (--data mols.csv)")
        self.needs = Needs(views={"global": 1, "perturbed": 2}, params=("edits",), batch=2, couples=True)
        self.edit, self.margin_weight, self.margin = edit, margin_weight, margin
        width = hidden or encoder.dim
        self.score = mlp((encoder.dim, width, width, 1), norm="none")

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        original, changed = role(views, "global")[0], role(views, "perturbed")
        z, *perturbed = self._encoded(encoder, (original, *changed))
        with full_precision(z):
            edits = torch.stack([view.params["edits"].to(z.dtype) for view in changed])
            logits = torch.stack([self.score(x)[:, 0] for x in (z, *perturbed)], dim=1)
            pick = union_mean(F.cross_entropy(logits, torch.zeros_like(own_rows(z)), reduction="none"))
            apart = torch.stack([distances(z, x) for x in perturbed])
            edit = union_mean(edit_loss(apart, edits))
            margin = union_mean(margin_loss(apart, self._others(z), self.margin))
        total = pick + self.edit * edit + self.margin_weight * margin
        return Loss(total, {"pick": pick.detach(), "edit": edit.detach(), "margin": margin.detach()})

    def _encoded(self, encoder: Any, views: Sequence[View]) -> list[Tensor]:
        """Each view's vectors, of one pass: batch norms apart would hide what all perturbations share."""
        batch: Any = joined([view.batch for view in views])  # type: ignore[misc]
        together = replace(views[0], batch=batch, layout=encoder.layout(batch), content=None, params={})
        return list(full(encoder(together).pooled).chunk(len(views)))

    def _others(self, z_bD: Tensor) -> Tensor:
        """``[b, B - 1]`` distances to every other graph of the batch."""
        keys = gather(z_bD)
        keep = torch.ones(len(z_bD), len(keys), dtype=torch.bool, device=z_bD.device)
        keep[torch.arange(len(z_bD)), own_rows(z_bD)] = False
        # no b x B x D; through products it would lose its digits where graphs are near
        every = torch.cdist(z_bD, keys, compute_mode="donot_use_mm_for_euclid_dist")
        return every[keep].reshape(len(z_bD), len(keys) - 1)
