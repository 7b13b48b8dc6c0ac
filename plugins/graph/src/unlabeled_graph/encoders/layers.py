"""Graph encoders around PyG's layers: GCN, GAT, GIN, GraphSAGE, a graph transformer (GPS), and an MLP without edges.

With nothing hidden the outputs are those of PyG's own modules under the same weights; they are computed by
``convolutions.py``. GPS, https://arxiv.org/abs/2205.12454.

    # T rows, F features of a node, D features of a row
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlabeled.errors import above, at_least, below_one
from unlabeled_graph.batch import GraphBatch, GraphSpec, facts_of
from unlabeled_graph.encoders.network import ACTIVATIONS, GraphEncoder, Shape, make_norm
from unlabeled_graph.ops import convolutions
from unlabeled_graph.ops.adjacency import Adjacency
from unlabeled_graph.ops.convolutions import Input
from unlabeled_graph.ops.positions import return_chances
from unlabeled_graph.ops.pyg import nn as pyg


class GCN(GraphEncoder):
    """Graph convolutional network, https://arxiv.org/abs/1609.02907.

    Args:
        inner: width of the layers before the last; 0 = as wide. GRACE has twice the width there.
    """

    def __init__(
        self,
        spec: GraphSpec,
        *,
        width: int = 256,
        depth: int = 2,
        norm: Literal["none", "batch", "layer"] = "none",
        activation: Literal["prelu", "relu", "elu", "gelu"] = "prelu",
        last: bool = True,
        residual: bool = False,
        jump: Literal["last", "cat", "sum", "max"] = "last",
        dropout: float = 0.0,
        pool: Literal["mean", "sum", "max"] = "mean",
        inner: int = 0,
    ) -> None:
        shape = Shape(width, depth, norm, activation, last, residual, jump, dropout, pool, inner)
        super().__init__(spec, [pyg.GCNConv(a, b) for a, b in shape.widths(spec.features)], shape)

    def convolve(self, number: int, x: Input, edges: Adjacency, batch: GraphBatch) -> Tensor:
        return convolutions.gcn(self.convs[number], x, edges)

    def plain(self, number: int, x_TF: Tensor, batch: GraphBatch) -> Tensor:
        conv: Any = self.convs[number]
        if batch.weight is None:
            out: Tensor = conv(x_TF, batch.edges)
            return out
        return conv.propagate(batch.edges, x=conv.lin(x_TF), edge_weight=batch.weight) + conv.bias


class Uniform(GraphEncoder):
    """Layers that are made of their widths alone: ``layer(features in, features out)``."""

    layer: Callable[[int, int], nn.Module]

    def __init__(
        self,
        spec: GraphSpec,
        *,
        width: int = 256,
        depth: int = 2,
        norm: Literal["none", "batch", "layer"] = "none",
        activation: Literal["prelu", "relu", "elu", "gelu"] = "prelu",
        last: bool = True,
        residual: bool = False,
        jump: Literal["last", "cat", "sum", "max"] = "last",
        dropout: float = 0.0,
        pool: Literal["mean", "sum", "max"] = "mean",
    ) -> None:
        shape = Shape(width, depth, norm, activation, last, residual, jump, dropout, pool)
        super().__init__(spec, [self.layer(a, b) for a, b in shape.widths(spec.features)], shape)


class SAGE(Uniform):
    """GraphSAGE with the mean of neighbors, https://arxiv.org/abs/1706.02216."""

    layer = pyg.SAGEConv

    def convolve(self, number: int, x: Input, edges: Adjacency, batch: GraphBatch) -> Tensor:
        return convolutions.sage(self.convs[number], x, edges)


class GIN(GraphEncoder):
    """Graph isomorphism network, https://arxiv.org/abs/1810.00826; each layer is Linear, norm, activation, Linear.

    Where edges have features they are read as in GINE, https://arxiv.org/abs/1905.12265.

    Args:
        norm: inside each layer and after it: none, batch, or layer (of each row).
        activation: inside each layer and after it: prelu, relu, elu or gelu.
        train_eps: learn the weight of a node against its neighbors (epsilon in the paper), which is else 0.
    """

    def __init__(
        self,
        spec: GraphSpec,
        *,
        width: int = 32,
        depth: int = 3,
        norm: Literal["none", "batch", "layer"] = "batch",
        activation: Literal["prelu", "relu", "elu", "gelu"] = "relu",
        last: bool = True,
        residual: bool = False,
        jump: Literal["last", "cat", "sum", "max"] = "cat",
        dropout: float = 0.0,
        pool: Literal["mean", "sum", "max"] = "sum",
        train_eps: bool = False,
        read_edges: bool = True,
    ) -> None:
        shape = Shape(width, depth, norm, activation, last, residual, jump, dropout, pool)
        self.reads_edges = read_edges and spec.edge_features > 0
        convs: list[nn.Module] = []
        for a, b in shape.widths(spec.features):
            parts = [nn.Linear(a, b), make_norm(norm, b), ACTIVATIONS[activation](), nn.Linear(b, b)]
            inner = nn.Sequential(*(part for part in parts if not isinstance(part, nn.Identity)))
            if self.reads_edges:
                convs.append(pyg.GINEConv(inner, train_eps=train_eps, edge_dim=spec.edge_features))
            else:
                convs.append(pyg.GINConv(inner, train_eps=train_eps))
        super().__init__(spec, convs, shape)

    def convolve(self, number: int, x: Input, edges: Adjacency, batch: GraphBatch) -> Tensor:
        if self.reads_edges:
            return self.plain(number, x.dense(), batch)
        return convolutions.gin(self.convs[number], x, edges)


class GAT(GraphEncoder):
    """Graph attention network, https://arxiv.org/abs/1710.10903, with heads side by side in every layer.

    Where edges have features they are read as PyG reads them: attention sees them, messages do not.

    Args:
        width: D, features of a row, over all heads: a multiple of them.
        heads: attention heads.
        attention_dropout: share of the attention weights that are dropped in training, in [0, 1).
        slope: of the leaky ReLU below 0, before the softmax.
        gain: of a normal initialization of weights and attention (Glorot); 0 = PyG's uniform one. GraphMAE has 1.414.
    """

    def __init__(
        self,
        spec: GraphSpec,
        *,
        width: int = 256,
        depth: int = 2,
        heads: int = 4,
        norm: Literal["none", "batch", "layer"] = "none",
        activation: Literal["prelu", "relu", "elu", "gelu"] = "prelu",
        last: bool = True,
        residual: bool = False,
        jump: Literal["last", "cat", "sum", "max"] = "last",
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        slope: float = 0.2,
        pool: Literal["mean", "sum", "max"] = "mean",
        read_edges: bool = True,
        gain: float = 0.0,
    ) -> None:
        shape = Shape(width, depth, norm, activation, last, residual, jump, dropout, pool)
        if heads < 1 or width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        below_one(attention_dropout=attention_dropout)
        self.reads_edges = read_edges and spec.edge_features > 0
        named: dict[str, Any] = {"negative_slope": slope}
        if self.reads_edges:
            named |= {"edge_dim": spec.edge_features, "dropout": attention_dropout}
        convs = [pyg.GATConv(a, b // heads, heads, **named) for a, b in shape.widths(spec.features)]
        super().__init__(spec, convs, shape)
        above(-1e-12, gain=gain)
        for conv in convs if gain else ():
            for weight in (conv.lin.weight, conv.att_src, conv.att_dst):
                nn.init.xavier_normal_(weight, gain)
        self.attention_dropout = nn.Dropout(attention_dropout)

    def convolve(self, number: int, x: Input, edges: Adjacency, batch: GraphBatch) -> Tensor:
        if batch.weight is not None:
            raise ValueError("gat cannot read weights of edges, which diffusion views make: choose --encoder gcn")
        if self.reads_edges:
            return self.plain(number, x.dense(), batch)
        return convolutions.gat(self.convs[number], x, edges, self.attention_dropout)


class GPS(GraphEncoder):
    """Graph transformer: a linear map and a norm, then layers of GIN beside attention over all nodes of a graph.

    Args:
        width: D, features of a row, a multiple of heads.
        depth: number of layers after the linear map.
        heads: attention heads.
        norm: inside each layer: batch, or layer (of each row).
        activation: inside each layer: relu, elu or gelu.
        dropout: share of each part of a layer that is dropped in training, in [0, 1).
        walks: steps of the random walks whose chances of return are added to a node's features; 0 = none. They are
            worked out anew for every change of the edges, at a cost of edges times nodes of the largest graph.
    """

    def __init__(
        self,
        spec: GraphSpec,
        *,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        norm: Literal["batch", "layer"] = "layer",
        activation: Literal["relu", "elu", "gelu"] = "relu",
        jump: Literal["last", "cat", "sum", "max"] = "last",
        dropout: float = 0.0,
        pool: Literal["mean", "sum", "max"] = "mean",
        walks: int = 0,
        read_edges: bool = True,
    ) -> None:
        shape = Shape(width, depth + 1, last=False, jump=jump, pool=pool)
        if depth < 1 or heads < 1 or width % heads:
            raise ValueError(f"depth {depth}, heads {heads}, width {width}: at least 1, and a multiple of heads")
        below_one(dropout=dropout)
        named: dict[str, Any] = {"norm": "batch_norm"}
        if norm == "layer":
            named = {"norm": "layer_norm", "norm_kwargs": {"mode": "node"}}
        at_least(0, walks=walks)
        self.reads_edges, self.walks = read_edges and spec.edge_features > 0, walks
        # without a norm, features of a bag of words whose rows sum to 1 are lost beside the biases of later layers
        convs: list[nn.Module] = [nn.Linear(spec.features + walks, width, bias=False)]
        for _ in range(depth):
            inner = nn.Sequential(nn.Linear(width, width), ACTIVATIONS[activation](), nn.Linear(width, width))
            local = pyg.GINEConv(inner, edge_dim=spec.edge_features) if self.reads_edges else pyg.GINConv(inner)
            convs.append(pyg.GPSConv(width, local, heads, dropout, act=activation, **named))
        super().__init__(spec, convs, shape)
        self.named = {"act": activation, **named}
        self.norms = nn.ModuleList([make_norm(norm, width)])  # GPS layers have their own
        self.activations = nn.ModuleList([nn.Identity()])

    def convolve(self, number: int, x: Input, edges: Adjacency, batch: GraphBatch) -> Tensor:
        conv: Any = self.convs[number]
        if number == 0:
            features = self.spec.features
            placed = return_chances(batch, self.walks) @ conv.weight[:, features:].T if self.walks else 0.0
            return x.project(conv.weight[:, :features]) + placed
        return self.plain(number, x.dense(), batch)

    def plain(self, number: int, x_TF: Tensor, batch: GraphBatch) -> Tensor:
        conv: Any = self.convs[number]
        if number == 0 and self.walks:
            x_TF = torch.cat((x_TF, return_chances(batch, self.walks)), dim=1)
        more = {"edge_attr": self.edge_features(batch)} if self.reads_edges else {}
        out: Tensor = conv(x_TF) if number == 0 else conv(x_TF, batch.edges, batch.group, **more)
        return out


class CompGCNConv(nn.Module):
    """A neighbor's features times the relation's vector, averaged over facts and mapped, beside the row's own.

    Args:
        a: features of a row in.
        b: features out.
        relations: R.
    """

    def __init__(self, a: int, b: int, relations: int) -> None:
        super().__init__()
        self.relation = nn.Parameter(1 + torch.randn(relations, a) / a**0.5)
        self.loop = nn.Parameter(torch.ones(a))
        self.neighbors, self.own = nn.Linear(a, b, bias=False), nn.Linear(a, b)

    def forward(self, x_TF: Tensor, edges_2E: Tensor, edge_N: Tensor, kind_N: Tensor) -> Tensor:
        source, target = edges_2E[:, edge_N]
        total = torch.zeros_like(x_TF).index_add(0, target, x_TF[source] * self.relation.to(x_TF.dtype)[kind_N])
        count = torch.bincount(target, minlength=len(x_TF)).clamp(min=1).to(x_TF.dtype)
        return self.neighbors(total / count[:, None]) + self.own(x_TF * self.loop.to(x_TF.dtype))


class CompGCN(GraphEncoder):
    """CompGCN, https://arxiv.org/abs/1911.03082: a graph network that reads which relations an edge stands for.

    Relations are the columns of an edge's features that are above 0.5; inverse relations, which data of triples bring,
    are columns of their own. Composition is by product. Differs: both directions share a matrix, since each relation
    and its inverse have vectors; each layer has its own vectors of relations, where the paper maps the last layer's.
    """

    def __init__(
        self,
        spec: GraphSpec,
        *,
        width: int = 128,
        depth: int = 2,
        norm: Literal["none", "batch", "layer"] = "none",
        activation: Literal["prelu", "relu", "elu", "gelu"] = "prelu",
        last: bool = True,
        residual: bool = False,
        jump: Literal["last", "cat", "sum", "max"] = "last",
        dropout: float = 0.0,
        pool: Literal["mean", "sum", "max"] = "mean",
    ) -> None:
        shape = Shape(width, depth, norm, activation, last, residual, jump, dropout, pool)
        convs = [CompGCNConv(a, b, max(1, spec.edge_features)) for a, b in shape.widths(spec.features)]
        super().__init__(spec, convs, shape)

    def convolve(self, number: int, x: Input, edges: Adjacency, batch: GraphBatch) -> Tensor:
        return self.plain(number, x.dense(), batch)

    def plain(self, number: int, x_TF: Tensor, batch: GraphBatch) -> Tensor:
        out: Tensor = self.convs[number](x_TF, batch.edges, *facts_of(batch))
        return out


class MLP(Uniform):
    """A perceptron on each node: what features give without edges, and the student of distillation."""

    layer = nn.Linear

    def convolve(self, number: int, x: Input, edges: Adjacency, batch: GraphBatch) -> Tensor:
        conv: Any = self.convs[number]
        return x.project(conv.weight) + conv.bias

    def plain(self, number: int, x_TF: Tensor, batch: GraphBatch) -> Tensor:
        out: Tensor = self.convs[number](x_TF)
        return out
