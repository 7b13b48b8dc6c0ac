"""What a user of PyG writes by hand: DGI as in PyG's example, InfoGraph and GraphMAE on PyG's layers, dense features.

Each function takes a batch and gives the module with its parameters, and what computes the loss of one step. Nothing is
made slower than it is usually written: features are dense, every row is decoded, and InfoGraph's masks are filled node
by node, as in the authors' code.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled_graph.ops.pyg import nn as pyg
from unlabeled_graph.ops.sparse import dense

Step = Callable[[], Tensor]


class _Encoder(nn.Module):
    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.conv, self.activation = pyg.GCNConv(features, width), nn.PReLU(width)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        out: Tensor = self.activation(self.conv(x, edges))
        return out


def dgi(batch: Any) -> tuple[nn.Module, Step]:
    """PyG's example: a GCN of 512, features permuted by ``randperm``."""
    x, edges = dense(batch.x), batch.edges
    model = pyg.DeepGraphInfomax(
        hidden_channels=512,
        encoder=_Encoder(x.shape[1], 512),
        summary=lambda z, *args, **kwargs: z.mean(dim=0).sigmoid(),
        corruption=lambda x, edges: (x[torch.randperm(len(x))], edges),
    )

    def loss() -> Tensor:
        found: Tensor = model.loss(*model(x, edges))
        return found

    return model, loss


class _GIN(nn.Module):
    def __init__(self, features: int, width: int, depth: int) -> None:
        super().__init__()
        widths = [features] + [width] * depth
        self.convs = nn.ModuleList(
            pyg.GINConv(nn.Sequential(nn.Linear(a, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width)))
            for a in widths[:-1]
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(depth))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        states = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x, edges)))
            states.append(x)
        return torch.cat(states, dim=1)


class _Head(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Linear(dim, dim), nn.ReLU()]
        self.block, self.shortcut = nn.Sequential(*layers), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x) + self.shortcut(x)
        return out


def infograph(batch: Any) -> tuple[nn.Module, Step]:
    """GIN 3 x 32, sum pooling, heads on nodes and graphs, all pairs of the batch."""
    x, edges, group = dense(batch.x), batch.edges, batch.group
    model = nn.ModuleDict({"encoder": _GIN(x.shape[1], 32, 3), "local": _Head(96), "whole": _Head(96)})
    count = len(batch.lengths)

    def loss() -> Tensor:
        tokens = model["encoder"](x, edges)
        local, whole = model["local"](tokens), model["whole"](pyg.global_add_pool(tokens, group))
        positive, negative = torch.zeros(len(x), count), torch.ones(len(x), count)
        for node, graph in enumerate(group):
            positive[node][graph], negative[node][graph] = 1.0, 0.0
        score = local @ whole.T
        true = (math.log(2.0) - F.softplus(-score)) * positive
        false = (F.softplus(-score) + score - math.log(2.0)) * negative
        return false.sum() / (len(x) * (count - 1)) - true.sum() / len(x)

    return model, loss


def graphmae(batch: Any) -> tuple[nn.Module, Step]:
    """GAT 2 x 512 with 4 heads, mask 0.5 of which 5 % show another node, one GAT layer as decoder, dropout in all."""
    x, edges = dense(batch.x), batch.edges
    model = nn.ModuleDict(
        {
            "first": pyg.GATConv(x.shape[1], 128, 4, dropout=0.1),
            "second": pyg.GATConv(512, 128, 4, dropout=0.1),
            "activations": nn.ModuleList((nn.PReLU(), nn.PReLU())),
            "bridge": nn.Linear(512, 512, bias=False),
            "decoder": pyg.GATConv(512, x.shape[1], 1, dropout=0.1),
        }
    )
    activations: Any = model["activations"]
    token = nn.Parameter(torch.zeros(x.shape[1]))
    model.register_parameter("token", token)

    def loss() -> Tensor:
        order = torch.randperm(len(x))
        hidden = order[: len(x) // 2]
        noisy = hidden[: int(0.05 * len(hidden))]
        seen = x.clone()
        seen[hidden[len(noisy) :]] = 0.0
        seen[hidden[len(noisy) :]] += token
        seen[noisy] = x[torch.randint(len(x), (len(noisy),))]
        h = activations[0](model["first"](F.dropout(seen, 0.2), edges))
        h = activations[1](model["second"](F.dropout(h, 0.2), edges))
        codes = model["bridge"](h)
        codes[hidden] = 0.0
        rebuilt = model["decoder"](F.dropout(codes, 0.2), edges)
        return (1 - F.cosine_similarity(rebuilt[hidden], x[hidden])).pow(3).mean()

    return model, loss
