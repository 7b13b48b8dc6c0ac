"""A Transformer over all rows, with fixed sine and cosine positions: the decoder of Audio-MAE.

https://arxiv.org/abs/2207.06405. Core's, with timm's blocks and attention that spends little on padding. Differs:
attention is global, where the paper's decoder has local windows.

    # T packed rows, D features in, W numbers out
"""

from timm.models.vision_transformer import Block
from torch import Tensor, nn

from unlabeled.contract import Layout
from unlabeled.nn import decoders
from unlabeled_audio.encoders.vit import through


class TransformerDecoder(decoders.TransformerDecoder):
    """Rows ``[T, D] -> [T, W]``, mixed by attention within a clip.

    Args:
        decoder_width: features of a row inside, a multiple of heads; 0 = half of the encoder's, at least 64.
        depth: number of blocks.
        heads: attention heads; 0 = one for each 32 features.
    """

    multiple = 32

    def __init__(self, dim: int, width: int, *, decoder_width: int = 0, depth: int = 2, heads: int = 0) -> None:
        super().__init__(dim, width, decoder_width=decoder_width, depth=depth, heads=heads)

    def block(self, width: int, heads: int) -> nn.Module:
        return Block(width, heads, qkv_bias=True)

    def mix(self, x_TD: Tensor, layout: Layout) -> Tensor:
        for block in self.blocks:
            x_TD, _ = through(block, x_TD, layout)
        return x_TD
