"""Residual codebooks: each codes what those before it left.

https://arxiv.org/abs/2107.03312, as MERT's labels, https://arxiv.org/abs/2306.00107, use them. Differs: each book is
found by k-means on rows that are in memory, not by training.

    # N rows, F features, G books, V entries of each
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from unlabeled.nn.kmeans import k_means, nearest


def fit_residual(x_NF: Tensor, books: int, entries: int, seed: int) -> list[Tensor]:
    """``books`` codebooks ``[V, F]`` by k-means, one after the other.

    >>> x = torch.tensor([[0.0], [1.0], [8.0], [9.0]])
    >>> [book.sort(0).values.flatten().tolist() for book in fit_residual(x, 2, 2, seed=0)]
    [[0.5, 8.5], [-0.5, 0.5]]
    """
    found: list[Tensor] = []
    for number in range(books):
        found.append(k_means(x_NF, entries, seed + number))
        x_NF = x_NF - found[-1][nearest(x_NF, found[-1])]
    return found


def residual_codes(x_NF: Tensor, books: Sequence[Tensor]) -> Tensor:
    """``int64[N, G]``: the entry of each book that is nearest to what the books before it left.

    >>> residual_codes(torch.tensor([[1.0], [8.0]]), [torch.tensor([[0.5], [8.5]]), torch.tensor([[-0.5], [0.5]])])
    tensor([[0, 1],
            [1, 0]])
    """
    codes = []
    for book in books:
        codes.append(nearest(x_NF, book))
        x_NF = x_NF - book[codes[-1]]
    return torch.stack(codes, dim=1)
