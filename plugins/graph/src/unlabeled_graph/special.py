"""Two encoders that single methods are made of: a lookup table (node2vec), and a network for each of two views (MVGRL).

# B samples, T rows, F features of a node, D features of a row
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from torch import nn

from unlabeled.contract import Capability, Features, Hide, Layout, Needs, View
from unlabeled.errors import above
from unlabeled_graph.data import GraphBatch, GraphSpec
from unlabeled_graph.diffusion import diffuse
from unlabeled_graph.encoders import GCN


def _refuse(name: str, view: View, layers: Sequence[int], *, swap: bool) -> None:
    found = {"hide rows": view.hidden, "swap rows": view.swap if swap else None, "give layers": layers or None}
    asked = [what for what, value in found.items() if value is not None]
    if asked:
        raise ValueError(f"encoder {name!r} cannot {' or '.join(asked)}; choose --encoder gcn, or another")


class Table(nn.Module):
    """A vector for each node, whatever its features: node2vec, https://arxiv.org/abs/1607.00653.

    Args:
        rows: vectors; node n has number n modulo rows, so nodes of larger graphs share some.
        width: D, features of a row; 128 in the paper.
    """

    def __init__(self, spec: GraphSpec, *, rows: int = 4096, width: int = 128) -> None:
        super().__init__()
        above(0, rows=rows, width=width)
        self.dim, self.rows, self.level = width, rows, spec.level
        self.can: frozenset[Capability] = frozenset({"tokens"})
        self.table = nn.Embedding(rows, width)
        nn.init.uniform_(self.table.weight, -0.5 / width**0.5, 0.5 / width**0.5)

    def layout(self, batch: GraphBatch) -> Layout:
        """Rows are nodes; they have no position."""
        return batch.layout

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        batch: Any = view.batch
        _refuse("table", view, tuple(layers), swap=True)
        if batch.nodes is None:
            raise ValueError("encoder 'table' has a vector for each node of one graph; these samples are graphs")
        tokens = self.table(batch.nodes % self.rows)
        return Features(tokens, view.layout or self.layout(batch), batch.pooled(tokens))


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
