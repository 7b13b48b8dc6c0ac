"""Codebooks that follow the data: k-means online, with exponentially averaged counts and sums.

VQ-VAE, https://arxiv.org/abs/1711.00937, appendix A.1; as DinoSR, https://arxiv.org/abs/2305.10005, and the BEATs
tokenizer, https://arxiv.org/abs/2212.09058, use it. Differs: entries start as rows of the first batch, and an entry
that hardly any row has chosen is set on a row of the batch: from random points most entries are never chosen. Counts
and sums are those of all ranks, so every rank holds the same codebook.

    # N rows, V entries, D features, W ranks
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.errors import above, within
from unlabeled.nn.distributed import all_reduce, gather
from unlabeled.nn.kmeans import nearest
from unlabeled.nn.precision import full

_LAST = torch.iinfo(torch.int64).max  # the key of no row


class OnlineKMeans(nn.Module):
    """``x[N, D] -> ids[N]``, and a codebook that moves to the rows that were seen, when asked to.

    Rows come with ``keys[N]``, random words of their own (``Draw.rows``): whoever has the least becomes an entry, so
    which rows those are does not depend on how the batch is cut over ranks.

    Args:
        entries: V.
        dim: D.
        decay: of counts and sums a step, tau.
        normalize: compare directions: rows and entries are brought to length 1.
        least: an entry whose averaged count is below this share of the mean count is set on a row of the batch.

    >>> book, x, keys = OnlineKMeans(4, 2), torch.randn(16, 2), torch.arange(16)
    >>> ids = book(x, keys)
    >>> book.update(x, ids, keys)  # after the step
    >>> ids.shape, book.entries.shape
    (torch.Size([16]), torch.Size([4, 2]))
    """

    counts: Tensor
    sums: Tensor
    started: Tensor

    def __init__(
        self, entries: int, dim: int, *, decay: float = 0.9, normalize: bool = False, least: float = 0.01
    ) -> None:
        super().__init__()
        above(1, entries=entries)
        within(0, 1, decay=decay, least=least)
        self.decay, self.normalize, self.least = decay, normalize, least
        self.register_buffer("counts", torch.ones(entries))
        self.register_buffer("sums", torch.randn(entries, dim))
        self.register_buffer("started", torch.zeros(()))

    @property
    def entries(self) -> Tensor:
        """``[V, D]``: the codebook."""
        mean = self.sums / self.counts.clamp(min=1e-5)[:, None]
        return F.normalize(mean, dim=1) if self.normalize else mean

    def _rows(self, x_ND: Tensor) -> Tensor:
        x = full(x_ND.detach()).to(self.sums.dtype)
        return F.normalize(x, dim=1) if self.normalize else x

    @torch.no_grad()
    def forward(self, x_ND: Tensor, keys_N: Tensor) -> Tensor:
        x = self._rows(x_ND)
        # a blend and no branch: whether this is the first batch stands on the device
        self.sums.copy_(torch.lerp(self._samples(x, keys_N), self.sums, self.started))
        self.started.fill_(1)
        return nearest(x, self.entries)

    def _samples(self, x_ND: Tensor, keys_N: Tensor) -> Tensor:
        """``[V, D]``: the rows of all ranks with the least keys; again from the first where there are fewer."""
        count = len(self.counts)
        keys = torch.cat((keys_N, keys_N.new_full((count,), _LAST)))
        least = torch.argsort(keys, stable=True)[:count]
        rows = F.pad(x_ND, (0, 0, 0, count))[least]
        keys, rows = gather(keys[least]), gather(rows)
        order, real = torch.argsort(keys, stable=True), (keys < _LAST).sum().clamp(min=1)
        return rows[order[torch.arange(count, device=order.device) % real]]

    @torch.no_grad()
    def update(self, x_ND: Tensor, ids_N: Tensor, keys_N: Tensor) -> None:
        """Move entries to the rows that chose them, over all ranks; entries that nobody chooses start anew."""
        x = self._rows(x_ND)
        counts = torch.zeros_like(self.counts).index_add_(0, ids_N, torch.ones_like(x[:, 0]))
        sums = torch.zeros_like(self.sums).index_add_(0, ids_N, x)
        self.counts.lerp_(all_reduce(counts), 1 - self.decay)
        self.sums.lerp_(all_reduce(sums), 1 - self.decay)
        mean = self.counts.mean()
        dead = self.counts < self.least * mean
        self.counts.copy_(torch.where(dead, mean, self.counts))
        self.sums.copy_(torch.where(dead[:, None], self._samples(x, keys_N) * mean, self.sums))
