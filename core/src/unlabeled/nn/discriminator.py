"""A bilinear discriminator of true and corrupted nodes, each against the summary of its graph.

Deep Graph Infomax, https://arxiv.org/abs/1809.10341. Where samples are nodes of one graph, its summary is the mean of
the samples of all ranks; where they are graphs, each graph has its own. Differs: the loss is binary cross-entropy of
logits, so a sure discriminator still has a gradient (``log(sigmoid + 1e-15)`` has none).

InfoGraph, https://arxiv.org/abs/1908.01000, scores by a product after heads, each node against every graph.

    # T packed rows, G graphs, D features
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Features
from unlabeled.nn.distributed import all_reduce, mean_over_ranks, union_mean
from unlabeled.nn.precision import full


def scores(local_TD: Tensor, summary_GD: Tensor, weight_DD: Tensor, group_T: Tensor | None) -> Tensor:
    """``[T]`` logits h W s: each row against the summary of its group; ``group_T`` None = there is one summary.

    >>> scores(torch.ones(3, 2), torch.tensor([[1.0, 1.0], [2.0, 2.0]]), torch.eye(2), torch.tensor([0, 0, 1]))
    tensor([2., 2., 4.])
    """
    towards_GD = summary_GD @ weight_DD.T
    if group_T is None:
        return local_TD @ towards_GD[0]
    return (local_TD * towards_GD[group_T]).sum(1)


def dgi_loss(positive_T: Tensor, negative_T: Tensor) -> Tensor:
    """Binary cross-entropy of logits, averaged over true and corrupted nodes of all ranks.

    >>> dgi_loss(torch.tensor([0.0, 9.0]), torch.tensor([-9.0, 0.0]))
    tensor(0.3466)
    """
    return union_mean(torch.cat((F.softplus(-full(positive_T)), F.softplus(full(negative_T)))))


def locals_of(features: Features) -> tuple[Tensor, Tensor, Tensor | None]:
    """Node features, the mean of each graph's, and each node's graph (None = one graph).

    >>> local, summary, group = locals_of(encoder(views[0]))
    >>> local.shape, summary.shape, group.shape
    (torch.Size([64, 8]), torch.Size([4, 8]), torch.Size([64]))
    """
    if features.layout.seeds is not None:
        return features.pooled, mean_over_ranks(features.pooled.mean(0, keepdim=True)), None
    return features.tokens, features.layout.mean(features.tokens), features.layout.group


def local_global_loss(local_TD: Tensor, global_GD: Tensor, own_T: Tensor) -> tuple[Tensor, Tensor]:
    """The positive and the negative expectation: means over own pairs and over all others, of all ranks.

    ``softplus(-s) - log 2`` for a pair of one graph, ``softplus(s) - log 2`` for any other; their sum is minimized.

    >>> local_global_loss(torch.zeros(3, 2), torch.zeros(2, 2), torch.tensor([0, 0, 1]))
    (tensor(0.), tensor(0.))
    """
    score_TG = local_TD @ global_GD.T
    own = score_TG.gather(1, own_T[:, None])[:, 0]
    others = F.softplus(score_TG).sum() - F.softplus(own).sum()
    rows = own.new_full((), float(len(own)))
    positive, negative, count = all_reduce(torch.stack((F.softplus(-own).sum(), others, rows))).unbind()
    pairs = (count * (len(global_GD) - 1)).clamp(min=1)
    return positive / count - math.log(2), negative / pairs - math.log(2)


class Head(nn.Module):
    """Three layers with ReLU, beside a linear shortcut: InfoGraph's and MVGRL's.

    >>> Head(4, 8)(torch.zeros(3, 4)).shape
    torch.Size([3, 8])
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for wide in (dim, width, width):
            layers += [nn.Linear(wide, width), nn.ReLU()]
        self.block, self.shortcut = nn.Sequential(*layers), nn.Linear(dim, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + self.shortcut(x)
