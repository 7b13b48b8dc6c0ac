"""A Transformer over all rows, with fixed sine and cosine positions: MAE's decoder and I-JEPA's predictor.

https://arxiv.org/abs/2111.06377, https://arxiv.org/abs/2301.08243. Rows may be any of a sample's, in any number:
positions come from the layout's coordinates, and rows of one sample attend to each other alone. Differs: no class
token passes through it.

    # T packed rows, G groups, L rows of the longest group, D features in, W numbers out
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from unlabeled.contract import Layout
from unlabeled.nn.init import sincos


class TransformerDecoder(nn.Module):
    """Rows ``[T, D] -> [T, W]``, mixed by attention within a sample.

    A width that is not given is rounded down to a multiple of ``least``: a plugin's subclass sets what its number of
    coordinates needs.

    Args:
        decoder_width: features of a row inside, a multiple of heads; 0 = half of the encoder's, at least ``least``.
        depth: number of blocks.
        heads: attention heads; 0 = one for each 32 features.
    """

    least: ClassVar[int] = 64

    def __init__(self, dim: int, width: int, *, decoder_width: int = 0, depth: int = 4, heads: int = 0) -> None:
        super().__init__()
        if min(decoder_width, heads) < 0 or depth < 1:
            raise ValueError(f"decoder_width {decoder_width}, depth {depth}, heads {heads}: sizes, and depth from 1 on")
        inner = decoder_width or max(self.least, dim // 2 // self.least * self.least)
        heads = heads or max(1, inner // 32)
        if inner % heads:
            raise ValueError(f"decoder_width {inner} is not a multiple of heads {heads}")
        self.inner = inner
        self.enter = nn.Linear(dim, inner)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                inner, heads, 4 * inner, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(inner)
        self.leave = nn.Linear(inner, width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor, layout: Layout) -> Tensor:
        x_TD = self.enter(tokens)
        x_TD = x_TD + sincos(layout.position, self.inner).to(x_TD.dtype)
        x_GLD, pad_GL = layout.dense(x_TD)
        for block in self.blocks:
            x_GLD = block(x_GLD, src_key_padding_mask=pad_GL)
        return self.leave(self.norm(layout.pack(x_GLD)))
