"""LVM-Med, https://arxiv.org/abs/2306.11925: match the two views of a batch as graphs, to second order.

The samples of a view are nodes, joined to their nearest neighbors, along whose edges one message passes. A solver
matches the two graphs by how alike two samples are, as a whole and in their parts (vertices), and by how alike their
differences to neighbors are (edges). The loss is the Hamming distance to the true matching. Its gradient goes through
the solver by implicit maximum likelihood, https://arxiv.org/abs/2106.01798: what the solver chose, less what it chooses
once affinities are moved against the gradient, both under one draw of noise.

Differs: the solver takes Hungarian steps on the linearized affinities (IPFP) and keeps the best, where the paper has a
dual block ascent; parts are matched by features alone, not by place too; nodes are centered over the batch after the
message, without which they soon all point one way; the loss is halved, so that it is the share of samples that are
matched wrongly.

    # N samples of all ranks, b of this one, K neighbors, R rows of a sample, D features
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from unlabeled.contract import Features, Loss, Needs, View, role
from unlabeled.draw import Purpose, gumbel, mix64
from unlabeled.errors import above, at_least, within
from unlabeled.nn.chance import draw_at
from unlabeled.nn.clock import Clock
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import own_rows
from unlabeled.nn.precision import full, full_precision

Array = Any  # ndarray


class Matching(NamedTuple):
    """``column[N]``, the other graph's node for each; ``edges[N, K, N, K]``, which pairs of edges are matched."""

    column: Array
    edges: Array


def match(vertex_NN: Array, edge_NKNK: Array, near_NK: Array, other_NK: Array, iterations: int = 5) -> Matching:
    """The best matching found: Hungarian steps on affinities that are linearized at the last one, from vertices alone.

    ``edge[i, k, a, l]`` counts where i is matched with a and its neighbor ``near[i, k]`` with ``other[a, l]``.
    """
    rows = np.arange(len(vertex_NN))
    column = linear_sum_assignment(vertex_NN, maximize=True)[1]
    best, found = -np.inf, None
    for _ in range(iterations + 1):
        paired = column[near_NK][:, :, None, None] == other_NK[None, None]
        support = np.where(paired, edge_NKNK, 0).sum((1, 3))
        score = (vertex_NN + support)[rows, column].sum()
        if score <= best:
            break
        chosen = np.eye(len(rows), dtype=bool)[column]
        best, found = score, Matching(column, paired & chosen[:, None, :, None])
        column = linear_sum_assignment(vertex_NN + support, maximize=True)[1]
    assert found is not None
    return found


class _Match(torch.autograd.Function):
    """``[N, N]``, 1 where two nodes are matched; noise is added to the affinities of vertices."""

    @staticmethod
    def forward(
        ctx: Any, vertex: Tensor, edge: Tensor, near: Tensor, other: Tensor, noise: Tensor, strength: float
    ) -> Tensor:
        graphs = near.cpu().numpy(), other.cpu().numpy()
        noisy, edges = (x.detach().cpu().double().numpy() for x in (vertex + noise, edge))
        found = match(noisy, edges, *graphs)
        ctx.found, ctx.noisy, ctx.edges, ctx.graphs, ctx.strength = found, noisy, edges, graphs, strength
        return torch.eye(len(vertex), dtype=vertex.dtype, device=vertex.device)[torch.from_numpy(found.column)]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        grad = grads[0].detach().cpu().double().numpy()
        greatest = max(np.abs(grad).max(), 1e-30)
        moved = match(ctx.noisy - ctx.strength * grad / greatest, ctx.edges, *ctx.graphs)
        eye, scale = np.eye(len(grad)), greatest / ctx.strength
        vertex = scale * (eye[ctx.found.column] - eye[moved.column])
        edge = scale * (ctx.found.edges.astype(np.float64) - moved.edges)
        made = (torch.from_numpy(x).to(grads[0]) for x in (vertex, edge))
        return (*made, None, None, None, None)


def nearest(z_ND: Tensor, count: int) -> Tensor:
    """``int64[N, K]``: the most similar other rows of each unit row."""
    return (z_ND @ z_ND.T).fill_diagonal_(-torch.inf).topk(count, dim=1).indices


def some_rows(out: Features, count: int) -> Tensor:
    """``[b, R, D]``: rows of each sample, evenly spaced; a sample of fewer has some of them twice."""
    lengths = out.layout.counts
    share = (torch.arange(count, device=lengths.device) + 0.5) / count
    return out.tokens[(lengths.cumsum(0) - lengths)[:, None] + (lengths[:, None] * share).long()]


def alike_in_parts(first_NRD: Tensor, second_NRD: Tensor) -> Tensor:
    """``[N, N]``: the mean over rows of a sample of the cosine with the most similar row of another."""
    count, rows, _ = first_NRD.shape
    a, b = (unit(x.flatten(0, 1)) for x in (first_NRD, second_NRD))
    return (a @ b.T).reshape(count, rows, count, rows).amax(3).mean(1)


class LVMMed(nn.Module):
    """Second-order graph matching between the views of a batch.

    Args:
        projector: widths of the projection head after the encoder, hidden and output.
        neighbors: of a node, K.
        whole: weight of the similarity as a whole beside that of the parts, in [0, 1]; alpha in the paper.
        rows: of a sample that stand for its parts, R.
        noise: scale of the Gumbel noise that is added to the affinities of vertices; a temperature, at least 0.
        strength: how far affinities are moved to see what the solver would rather choose, above 0.
    """

    cause = "views that share a shortcut, too high a temperature, or too high a learning rate"

    def __init__(
        self,
        encoder: Any,
        *,
        projector: tuple[int, ...] = (512, 128),
        neighbors: int = 5,
        whole: float = 0.8,
        rows: int = 16,
        noise: float = 0.2,
        strength: float = 1.0,
    ) -> None:
        super().__init__()
        above(0, neighbors=neighbors, rows=rows, strength=strength)
        at_least(0, noise=noise)
        within(0, 1, whole=whole)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True, encoder=frozenset({"tokens"}))
        self.neighbors, self.whole, self.rows, self.noise, self.strength = neighbors, whole, rows, noise, strength
        self.projector = mlp((encoder.dim, *projector))
        self.own, self.around = (nn.Linear(projector[-1], projector[-1], bias=False) for _ in range(2))
        self.norm = nn.BatchNorm1d(projector[-1], affine=False)
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        first, second = role(views, "global")
        outs = [encoder(view) for view in (first, second)]
        with full_precision(outs[0].pooled):
            z = [gather(self.projector(full(out.pooled))) for out in outs]
            parts = [gather(full(some_rows(out, self.rows))) for out in outs]
            near = [nearest(unit(x.detach()), min(self.neighbors, len(x) - 1)) for x in z]
            nodes = [self._nodes(x, n, own_rows(outs[0].pooled)) for x, n in zip(z, near, strict=True)]
            vertex = self.whole * nodes[0] @ nodes[1].T + (1 - self.whole) * alike_in_parts(*parts)
            edges = [unit((x[:, None] - x[n]).flatten(0, 1)) for x, n in zip(nodes, near, strict=True)]
            edge = (edges[0] @ edges[1].T).reshape(*near[0].shape, *near[1].shape)
            matched = _Match.apply(vertex, edge, *near, self._noise(gather(first.batch.ids)).to(vertex), self.strength)
            truth = torch.eye(len(matched), dtype=matched.dtype, device=matched.device)
            total = (matched * (1 - truth) + (1 - matched) * truth).sum() / (2 * len(matched))
        return Loss(total, {"matched": 1 - total.detach()})

    def _nodes(self, z_ND: Tensor, near_NK: Tensor, own_b: Tensor) -> Tensor:
        """``[N, D]`` of length 1: each sample beside its neighbors; a rank norms its own, so that each counts once."""
        mixed_bD = self.own(z_ND[own_b]) + self.around(z_ND[near_NK[own_b]].mean(1))
        return gather(unit(self.norm(mixed_bD)))

    def _noise(self, ids_N: Tensor) -> Tensor:
        """Gumbel noise ``[N, N]`` that follows from each pair of samples and the step."""
        first_N, second_N = draw_at(self.clock.step, ids_N).words(2, Purpose.NOISE).unbind(1)
        return self.noise * gumbel(mix64(first_N[:, None] ^ second_N))
