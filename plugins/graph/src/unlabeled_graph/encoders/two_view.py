"""MVGRL's encoder: a GCN for edges and one for their diffusion."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from torch import nn

from unlabeled.contract import Capability, Features, Hide, Layout, Needs, View
from unlabeled_graph.batch import GraphBatch, GraphSpec
from unlabeled_graph.encoders.layers import GCN
from unlabeled_graph.encoders.table import _refuse
from unlabeled_graph.ops.diffusion import diffuse


class TwoView(nn.Module):
    """A GCN for the edges and one for their diffusion, summed: MVGRL, https://arxiv.org/abs/2006.05582.

    Where an objective trains on views of role ``diffusion``, each view goes to its own network; any other view, the
    clean one among them, goes to both.

    Args:
        width: D, features of a row; 512 in the paper.
        depth: layers of each network.
        activation: after each layer: prelu, relu, elu or gelu.
        alpha: probability that a walk of the diffusion returns to its start, in (0, 1); 0.2 in the paper.
        keep: entries of the diffusion that each node keeps; 0 = all.
        pool: one vector a graph: mean, sum or max of its rows.
    """

    def __init__(
        self,
        spec: GraphSpec,
        *,
        width: int = 512,
        depth: int = 1,
        activation: Literal["prelu", "relu", "elu", "gelu"] = "prelu",
        alpha: float = 0.2,
        keep: int = 64,
        pool: Literal["mean", "sum", "max"] = "mean",
    ) -> None:
        super().__init__()
        if not 0 < alpha < 1 or keep < 0:
            raise ValueError(f"alpha is {alpha} and keep {keep}; alpha must be in (0, 1), keep at least 0")
        self.near = GCN(spec, width=width, depth=depth, activation=activation, pool=pool)
        self.far = GCN(spec, width=width, depth=depth, activation=activation, pool=pool)
        self.dim, self.alpha, self.keep, self.apart = width, alpha, keep, False
        self.can: frozenset[Capability] = frozenset({"tokens", "swap"})

    def prepare(self, needs: Needs) -> None:
        """Views are told apart only where the objective brings the diffused one."""
        self.apart = "diffusion" in needs.views
        self.near.prepare(needs)
        self.far.prepare(needs)

    def layout(self, batch: GraphBatch) -> Layout:
        """Rows are nodes; they have no position."""
        return batch.layout

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        _refuse("two_view", view, tuple(layers), swap=False)
        if self.apart and view.role == "diffusion":
            found: Features = self.far(view)
            return found
        near: Features = self.near(view)
        if self.apart and view.role in ("global", "corrupt"):
            return near
        batch: Any = view.batch
        diffused = diffuse(batch, "ppr", self.alpha, self.keep)
        layout = replace(view.layout or self.layout(batch), edges=diffused.edges)
        far = self.far(replace(view, batch=diffused, layout=layout))
        return replace(near, tokens=near.tokens + far.tokens, pooled=near.pooled + far.pooled)
