"""A Transformer over all rows, with fixed sine and cosine positions: MAE's decoder.

https://arxiv.org/abs/2111.06377. Rows may be any of a sample's, in any number: positions come from the layout's
coordinates, and rows of one sample attend to each other alone. Differs: no class token passes through it.

    # T packed rows, G groups, L rows of the longest group, D features in, W numbers out
"""

from typing import Any, ClassVar

from torch import Tensor, nn

from unlabeled.contract import Layout
from unlabeled.nn.init import sincos, xavier


def narrow_block(width: int, heads: int) -> nn.Module:
    """torch's pre-norm block of attention and a perceptron, without dropout, on ``[G, L, width]``.

    >>> narrow_block(8, 2)(torch.randn(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """
    return nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )


class TransformerDecoder(nn.Module):
    """Rows ``[T, D] -> [T, W]``, mixed by attention within a sample.

    A width that is not given is rounded down to a multiple of ``multiple``, and is at least ``least``: a plugin's
    subclass sets what its number of coordinates needs, and may have blocks of its own.

    Args:
        decoder_width: features of a row inside, a multiple of heads; 0 = half of the encoder's, at least ``least``.
        depth: number of blocks.
        heads: attention heads; 0 = one for each 32 features.

    >>> decoder = TransformerDecoder(192, 16, depth=1)
    >>> decoder(torch.randn(5, 192), Layout((2, 3), torch.arange(5)[:, None])).shape
    torch.Size([5, 16])
    """

    least: ClassVar[int] = 64
    multiple: ClassVar[int] = 64

    def __init__(self, dim: int, width: int, *, decoder_width: int = 0, depth: int = 4, heads: int = 0) -> None:
        super().__init__()
        if min(decoder_width, heads) < 0 or depth < 1:
            raise ValueError(f"decoder_width {decoder_width}, depth {depth}, heads {heads}: sizes, and depth from 1 on")
        inner = decoder_width or max(self.least, dim // 2 // self.multiple * self.multiple)
        heads = heads or max(1, inner // 32)
        if inner % heads:
            raise ValueError(f"decoder_width {inner} is not a multiple of heads {heads}")
        self.inner = inner
        self.enter = nn.Linear(dim, inner)
        self.blocks: Any = nn.ModuleList(self.block(inner, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(inner)
        self.leave = nn.Linear(inner, width)
        xavier(self)

    def block(self, width: int, heads: int) -> nn.Module:
        """One of ``blocks``."""
        return narrow_block(width, heads)

    def mix(self, x_TD: Tensor, layout: Layout) -> Tensor:
        """Rows after all blocks."""
        x_GLD, pad_GL = layout.dense(x_TD)
        for block in self.blocks:
            x_GLD = block(x_GLD, src_key_padding_mask=pad_GL)
        return layout.pack(x_GLD)

    def forward(self, tokens: Tensor, layout: Layout) -> Tensor:
        x_TD = self.enter(tokens)
        x_TD = x_TD + sincos(layout.position, self.inner).to(x_TD.dtype)
        return self.leave(self.norm(self.mix(x_TD, layout)))


def mixes(decoder: Any) -> bool:
    """Whether a decoder reads other rows for a row; a perceptron on each (``decoder.mixes = False``) does not.

    >>> mixes(TransformerDecoder(8, 4))
    True
    """
    return bool(getattr(decoder, "mixes", True))


def decode(decoder: Any, tokens_TD: Tensor, layout: Layout, index_H: Tensor) -> Tensor:
    """``[H, W]``: the decoder's output at ``index_H``, computed there alone where it can (``decoder.partial``).

    >>> layout = Layout((5,), torch.arange(5)[:, None])
    >>> decode(TransformerDecoder(8, 4), torch.randn(5, 8), layout, torch.tensor([1, 3])).shape
    torch.Size([2, 4])
    """
    if getattr(decoder, "partial", False):
        return decoder(tokens_TD, layout, rows=index_H)
    return decoder(tokens_TD, layout)[index_H]
