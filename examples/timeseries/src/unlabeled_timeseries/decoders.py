"""One block of attention over all rows of a sample, then a linear map: MAE's decoder at its smallest.

https://arxiv.org/abs/2111.06377

    # T packed rows, D features in, W numbers out
"""

from torch import Tensor, nn

from unlabeled.contract import Layout
from unlabeled.nn.init import sincos
from unlabeled_timeseries.encoders import Block


class BlockDecoder(nn.Module):
    """Rows ``[T, D] -> [T, W]``, mixed within a sample.

    Args:
        heads: attention heads; must divide D.
    """

    def __init__(self, dim: int, width: int, *, heads: int = 4) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"heads is {heads}; it must divide the encoder's width {dim}")
        self.block = Block(dim, heads)
        self.norm = nn.LayerNorm(dim)
        self.leave = nn.Linear(dim, width)

    def forward(self, tokens: Tensor, layout: Layout) -> Tensor:
        placed = tokens + sincos(layout.position, tokens.shape[1]).to(tokens.dtype)
        return self.leave(self.norm(self.block(placed, layout)))
