"""Content of nodes: their features, and for graphs of few kinds of nodes the kind.

# T packed rows, F features, H hidden rows
"""

from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Encoder, Layout, Rows
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import above
from unlabeled.nn.heads import unit
from unlabeled_graph.batch import GraphBatch, GraphSpec
from unlabeled_graph.ops.sparse import SparseRows, dense, sparse_rows

KINDS = 256  # more columns than this are words, not kinds of nodes


def content_of(batch: GraphBatch) -> Tensor:
    """``[T, F]`` dense features; made once for a graph that many steps share."""
    if not isinstance(batch.x, SparseRows):
        return batch.x
    if "content" not in batch.memo:
        batch.memo["content"] = dense(batch.x)
    found: Tensor = batch.memo["content"]
    return found


class NodeFeatures:
    """The features of each node, as masked reconstruction has them; its id is the column of the greatest.

    For one-hot features the id is the node's kind (its element, its label). Where there are more than 256 columns,
    which are words, there are no ids.
    """

    def __init__(self, spec: GraphSpec, encoder: Encoder) -> None:
        self.width = spec.features
        self.vocabulary = spec.features if spec.features <= KINDS else 0

    def __call__(self, batch: Any, layout: Layout) -> tuple[Tensor | None, Tensor | None]:
        content = content_of(batch)
        return content, content.argmax(1) if self.vocabulary else None

    def alter(self, batch: GraphBatch, layout: Layout, rows: Rows, draw: Draw) -> GraphBatch:
        """Other features at ``rows``: the conformance kit looks for leaks with it."""
        one = Draw(draw.seed, draw.epoch, torch.zeros(1, dtype=torch.int64), draw.view)
        x = dense(batch.x).clone()
        noise = one.normal(len(rows) * x.shape[1], Purpose.NOISE).reshape(len(rows), -1).to(x)
        x[rows.index] += noise
        return batch.altered(x=sparse_rows(x) if isinstance(batch.x, SparseRows) else x)


class ProjectedFeatures(NodeFeatures):
    """The features of each node at length 1, times a fixed random matrix: dense numbers of mean square 1.

    For absolute errors, as SimMIM has them: of words that most nodes lack, the median is 0 whatever the neighbors say.

    Args:
        dim: numbers of a node.
    """

    def __init__(self, spec: GraphSpec, encoder: Encoder, *, dim: int = 128) -> None:
        super().__init__(spec, encoder)
        above(0, dim=dim)
        self.width, self.vocabulary = dim, 0
        self.matrix_FC = Draw(0, 0, torch.arange(spec.features)).normal(dim, Purpose.FEATURE)

    def __call__(self, batch: Any, layout: Layout) -> tuple[Tensor | None, Tensor | None]:
        key = ("projected", self.width)
        if key not in batch.memo:
            batch.memo[key] = unit(content_of(batch)) @ self.matrix_FC.to(batch.device)
        return batch.memo[key], None
