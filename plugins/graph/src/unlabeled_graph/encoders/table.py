"""node2vec's encoder: a learned vector for each node, whatever its features.

# B samples, T rows, F features of a node, D features of a row
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from unlabeled.contract import Capability, Features, Hide, Layout, View
from unlabeled.errors import above
from unlabeled_graph.batch import GraphBatch, GraphSpec


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
