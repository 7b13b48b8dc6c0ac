"""T-REGS, https://arxiv.org/abs/2510.23484: views agree while the minimum spanning tree of the batch is kept long.

A batch whose features collapse, to a point or to fewer directions, has a short tree. Lengths are held by a soft unit
sphere. Differs: the tree spans all ranks; weights are ours, since scale decides them.

    # B samples of all ranks, D features
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import at_least
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import mlp
from unlabeled.nn.precision import full, full_precision


@torch.no_grad()
def spanning_tree(x_BD: Tensor) -> Tensor:
    """``int64[2, B - 1]``: the edges of the Euclidean minimum spanning tree, by Prim; no wait for a device.

    >>> spanning_tree(torch.tensor([[0.0], [3.0], [1.0]]))
    tensor([[0, 2],
            [2, 1]])
    """
    distance = torch.cdist(x_BD, x_BD, compute_mode="donot_use_mm_for_euclid_dist")
    nearest, parent = distance[0].clone(), torch.zeros(len(x_BD), dtype=torch.int64, device=x_BD.device)
    nearest[0] = torch.inf
    inside = torch.zeros(len(x_BD), dtype=torch.bool, device=x_BD.device)
    inside[0] = True
    ends = []
    for _ in range(len(x_BD) - 1):
        new = nearest.argmin(0, keepdim=True)
        ends.append(torch.cat((parent[new], new)))
        inside.index_fill_(0, new, True)
        row = distance.index_select(0, new)[0]
        closer = (row < nearest) & ~inside
        nearest = torch.where(inside, torch.inf, torch.where(closer, row, nearest))
        parent = torch.where(closer, new, parent)
    return torch.stack(ends, dim=1)


def tree_length(x_BD: Tensor) -> Tensor:
    """Length of the minimum spanning tree; the gradient is that of its edges.

    >>> tree_length(torch.tensor([[0.0], [3.0], [1.0]]))
    tensor(3.)
    """
    first, second = spanning_tree(x_BD)
    return torch.linalg.vector_norm(x_BD[first] - x_BD[second], dim=1).sum()


def off_sphere(x_BD: Tensor) -> Tensor:
    """Mean squared distance of lengths from 1.

    >>> off_sphere(torch.tensor([[3.0, 4.0]]))
    tensor(16.)
    """
    return (torch.linalg.vector_norm(x_BD, dim=1) - 1).square().mean()


class TREGS(nn.Module):
    """Views agree, and the batch's spanning tree is long.

    Args:
        projector: widths of the projection head, hidden and output.
        invariance: weight of the squared distance of views, at least 0; beta in the paper.
        tree: weight of the mean length of an edge, at least 0; gamma in the paper.
        sphere: weight of lengths off 1, at least 0; lambda in the paper.
    """

    cause = "too little weight on the tree, or too high a learning rate"

    def __init__(
        self, encoder: Any, *, projector: tuple[int, ...] = (512, 512, 256), invariance: float = 1.0, tree: float = 0.5,
        sphere: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        at_least(0, invariance=invariance, tree=tree, sphere=sphere)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.invariance, self.tree, self.sphere = invariance, tree, sphere
        self.projector = mlp((encoder.dim, *projector))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")]
        with full_precision(z[0]):
            z = [gather(full(z_BD)) for z_BD in z]
            invariance = torch.stack([F.mse_loss(a, b) * a.shape[1] for a, b in combinations(z, 2)]).mean()
            edge = torch.stack([tree_length(z_BD) / len(z_BD) for z_BD in z]).mean()
            sphere = torch.stack([off_sphere(z_BD) for z_BD in z]).mean()
            total = self.invariance * invariance - self.tree * edge + self.sphere * sphere
        parts = {"invariance": invariance, "edge": edge, "sphere": sphere}
        return Loss(total, {name: part.detach() for name, part in parts.items()})
