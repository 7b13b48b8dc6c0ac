"""A codebook under cosine similarity, with a straight-through gradient: what turns nodes into tokens.

VQ-VAE, https://arxiv.org/abs/1711.00937, with codes and inputs at length 1, as VQGraph has it. The codebook learns by
gradient; a straight-through estimator hands the gradient of what is built on a code to what chose it. What is quantized
is centered and scaled over all nodes first (:func:`entrance`).

    # N vectors, K codes, D features
"""

import torch
from torch import Tensor, nn

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
    """Nearest code of each vector.

    Args:
        codes: K.
        dim: D.
        commitment: weight that draws a vector to its code; beta, 0.25 in the paper.

    >>> codes, ids, loss = Quantizer(16, 4)(torch.randn(10, 4))
    >>> codes.shape, ids.shape, loss.shape
    (torch.Size([10, 4]), torch.Size([10]), torch.Size([]))
    """

    def __init__(self, codes: int, dim: int, commitment: float = 0.25) -> None:
        super().__init__()
        self.commitment = commitment
        self.codebook = nn.Parameter(torch.randn(codes, dim) / dim**0.5)

    def forward(self, x_ND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes ``[N, D]`` of length 1 that pass gradients on to ``x``, their ids ``[N]``, and the loss of both."""
        x, codes = unit(x_ND), unit(self.codebook)
        ids = (x.detach() @ codes.detach().T).argmax(1)
        chosen = codes[ids]
        pull = union_mean((chosen - x.detach()).square().sum(1))
        push = union_mean((x - chosen.detach()).square().sum(1))
        return x + (chosen - x).detach(), ids, pull + self.commitment * push
