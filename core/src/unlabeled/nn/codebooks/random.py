"""Codebooks that nothing learned: a random projection, and the nearest of random directions.

BEST-RQ, https://arxiv.org/abs/2202.01855.

    # N rows, F features, D width of the projection, G books, V entries of each
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.nn.kmeans import nearest


def random_books(features: int, dim: int, entries: int, books: int, seed: int) -> tuple[Tensor, Tensor]:
    """Xavier-uniform projections ``[G, F, D]`` and directions ``[G, V, D]``, of each book its own.

    >>> [x.shape for x in random_books(80, dim=16, entries=256, books=2, seed=0)]
    [torch.Size([2, 80, 16]), torch.Size([2, 256, 16])]
    """
    generator = torch.Generator().manual_seed(seed)
    bound = (6.0 / (features + dim)) ** 0.5
    project = (torch.rand(books, features, dim, generator=generator) * 2 - 1) * bound
    return project, F.normalize(torch.randn(books, entries, dim, generator=generator), dim=2)


def random_codes(x_NF: Tensor, project_GFD: Tensor, entries_GVD: Tensor) -> Tensor:
    """``int64[N, G]``: the nearest direction of each projected row; standardize rows, or a mean makes all alike.

    >>> random_codes(torch.randn(5, 80), *random_books(80, dim=16, entries=256, books=2, seed=0)).shape
    torch.Size([5, 2])
    """
    z = F.normalize(torch.einsum("nf,gfd->gnd", x_NF, project_GFD), dim=2)
    return torch.stack([nearest(a, b) for a, b in zip(z, entries_GVD, strict=True)], dim=1)
