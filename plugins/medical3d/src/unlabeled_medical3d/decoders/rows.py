"""Decoders of the rows of a volume: core's Transformer, or one linear map."""

from torch import Tensor, nn

from unlabeled.contract import Layout
from unlabeled.nn import decoders


class TransformerDecoder(decoders.TransformerDecoder):
    """Rows ``[T, D] -> [T, W]``, mixed by attention within a sample, https://arxiv.org/abs/2111.06377.

    Args:
        decoder_width: features of a row inside, a multiple of heads; 0 = half of the encoder's, at least 96.
        depth: number of blocks.
        heads: attention heads; 0 = one for each 32 features.
    """

    least = multiple = 96  # three coordinates, a sine and a cosine of each

    def __init__(self, dim: int, width: int, *, decoder_width: int = 0, depth: int = 2, heads: int = 0) -> None:
        super().__init__(dim, width, decoder_width=decoder_width, depth=depth, heads=heads)


class LinearDecoder(nn.Module):
    """One linear map of each row ``[T, D] -> [T, W]``; it has no settings."""

    mixes = False

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.leave = nn.Linear(dim, width)

    def forward(self, tokens: Tensor, layout: Layout) -> Tensor:
        return self.leave(tokens)
