"""A Transformer over all rows, with fixed sine and cosine positions: the decoder of Audio-MAE.

https://arxiv.org/abs/2207.06405. Rows may be any of a clip's, in any number: positions come from the layout, and
rows of one clip attend to each other alone. Differs: attention is global, where the paper's decoder has local windows.

    # T packed rows, D features in, W numbers out
"""

from __future__ import annotations

from timm.models.vision_transformer import Block
from torch import Tensor, nn

from unlabeled.contract import Layout
from unlabeled_audio.encoders.rows import initialize, places
from unlabeled_audio.encoders.vit import through


class TransformerDecoder(nn.Module):
    """Rows ``[T, D] -> [T, W]``, mixed by attention within a clip.

    Args:
        decoder_width: features of a row inside, a multiple of heads; 0 = half of the encoder's, at least 64.
        depth: number of blocks.
        heads: attention heads; 0 = one for each 32 features.
    """

    def __init__(self, dim: int, width: int, *, decoder_width: int = 0, depth: int = 2, heads: int = 0) -> None:
        super().__init__()
        if min(decoder_width, heads) < 0 or depth < 1:
            raise ValueError(f"decoder_width {decoder_width}, depth {depth}, heads {heads}: sizes, and depth from 1 on")
        inner = decoder_width or max(64, dim // 2 // 32 * 32)
        heads = heads or max(1, inner // 32)
        if inner % heads:
            raise ValueError(f"decoder_width {inner} is not a multiple of heads {heads}")
        self.inner = inner
        self.enter = nn.Linear(dim, inner)
        self.blocks = nn.ModuleList(Block(inner, heads, qkv_bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(inner)
        self.leave = nn.Linear(inner, width)
        initialize(self)

    def forward(self, tokens: Tensor, layout: Layout) -> Tensor:
        x_TD = self.enter(tokens)
        x_TD = x_TD + places(layout, self.inner).to(x_TD.dtype)
        for block in self.blocks:
            x_TD = through(block, x_TD, layout)
        return self.leave(self.norm(x_TD))
