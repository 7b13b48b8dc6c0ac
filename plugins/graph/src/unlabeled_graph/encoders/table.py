"""node2vec's encoder: a learned vector for each node, whatever its features.

# B samples, T rows, F features of a node, D features of a row
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from unlabeled.contract import Capability, Features, Hide, Layout, View
from unlabeled.errors import UsageError, above, at_least
from unlabeled_graph.batch import GraphBatch, GraphSpec

GRAPHS = "encoder 'table' has a vector for each node of one graph; these samples are graphs: choose --encoder gin"


def _refuse(name: str, view: View, layers: Sequence[int], *, swap: bool) -> None:
    found = {"hide rows": view.hidden, "swap rows": view.swap if swap else None, "give layers": layers or None}
    asked = [what for what, value in found.items() if value is not None]
    if asked:
        raise ValueError(f"encoder {name!r} cannot {' or '.join(asked)}; choose --encoder gcn, or another")


class Table(nn.Module):
    """A vector for each node, whatever its features: node2vec, https://arxiv.org/abs/1607.00653.

    Args:
        rows: vectors, of which node n has the n-th; 0 = as many as the data have nodes.
        width: D, features of a row; 128 in the paper.
    """

    def __init__(self, spec: GraphSpec, *, rows: int = 0, width: int = 128) -> None:
        super().__init__()
        above(0, width=width)
        at_least(0, rows=rows)
        if spec.level == "graph":
            raise UsageError(GRAPHS)
        if not rows and not spec.node_count:
            raise UsageError("the number of nodes is not known here: give --encoder.rows N")
        self.dim, self.rows, self.level = width, rows or spec.node_count, spec.level
        self._fits(spec.node_count)
        self.can: frozenset[Capability] = frozenset({"tokens"})
        self.table = nn.Embedding(self.rows, width)
        nn.init.uniform_(self.table.weight, -0.5 / width**0.5, 0.5 / width**0.5)

    def _fits(self, nodes: int) -> None:
        if nodes > self.rows:
            raise UsageError(f"encoder 'table' has {self.rows:,} vectors, and the graph {nodes:,} nodes, one for each")

    def layout(self, batch: GraphBatch) -> Layout:
        """Rows are nodes; they have no position."""
        return batch.layout

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        batch: Any = view.batch
        _refuse("table", view, tuple(layers), swap=True)
        if batch.nodes is None:
            raise UsageError(GRAPHS)
        if "most" not in batch.memo:  # a wait for an accelerator, once for a graph that steps share
            batch.memo["most"] = int(batch.nodes.max()) + 1
        self._fits(batch.memo["most"])
        tokens = self.table(batch.nodes)
        return Features(tokens, view.layout or self.layout(batch), batch.pooled(tokens))
