"""A codebook under cosine similarity, with a straight-through gradient: what turns nodes into tokens.

VQ-VAE, https://arxiv.org/abs/1711.00937, with codes and inputs at length 1, as VQGraph has it. The codebook follows the
vectors by moving averages, and codes that nobody chooses start anew (:class:`OnlineKMeans`); a straight-through
estimator hands the gradient of what is built on a code to what chose it. What is quantized is centered and scaled over
all nodes first (:func:`entrance`).

    # N vectors, K codes, D features
"""

from torch import Tensor, nn

from unlabeled.nn.codebooks.ema import OnlineKMeans
from unlabeled.nn.distributed import BatchNorm, union_mean
from unlabeled.nn.heads import unit


def entrance(dim: int, width: int) -> nn.Sequential:
    """From an encoder's output to what is quantized: a linear map, then mean 0 and variance 1 of each column.

    Outputs for a bag of words whose rows sum to 1 share a mean that is large beside what tells them apart, so that by
    their cosine all nodes are nearest to one code.

    >>> entrance(8, 4)(torch.randn(16, 8)).mean(0).abs().max() < 1e-6
    tensor(True)
    """
    return nn.Sequential(nn.Linear(dim, width, bias=False), BatchNorm(width, affine=False))


class Quantizer(nn.Module):
    """Nearest code of each vector. Whoever owns it calls :meth:`update` after each step.

    Args:
        codes: K.
        dim: D.
        commitment: weight of the mean squared distance of a vector to its code; beta, 0.25 in the paper.
        decay: of the codebook's counts and sums a step; 0.8 in VQGraph's code.

    >>> codes, ids, loss = Quantizer(16, 4)(torch.randn(10, 4), torch.arange(10))
    >>> codes.shape, ids.shape, loss.shape
    (torch.Size([10, 4]), torch.Size([10]), torch.Size([]))
    """

    def __init__(self, codes: int, dim: int, commitment: float = 0.25, decay: float = 0.8) -> None:
        super().__init__()
        self.commitment = commitment
        self.book = OnlineKMeans(codes, dim, decay=decay, normalize=True)
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []

    @property
    def codebook(self) -> Tensor:
        """``[K, D]``, each of length 1."""
        return self.book.entries

    def forward(self, x_ND: Tensor, keys_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes ``[N, D]`` of length 1 that pass gradients on to ``x``, their ids ``[N]``, and the commitment.

        ``keys[N]`` are random words: by them codes are set on vectors.
        """
        x = unit(x_ND)
        ids = self.book(x, keys_N)
        chosen = self.codebook[ids]
        if self.training:
            self._pending.append((x.detach(), ids, keys_N))
        return x + (chosen - x).detach(), ids, self.commitment * union_mean((x - chosen).square().mean(1))

    def update(self) -> None:
        """Move the codebook to what chose it since the last time."""
        for x, ids, keys in self._pending:
            self.book.update(x, ids, keys)
        self._pending = []
