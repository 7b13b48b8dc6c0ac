"""A narrow transformer that predicts features at positions, from visible tokens: I-JEPA's predictor.

https://arxiv.org/abs/2301.08243, section 3.

    # T packed rows, H predicted rows, D features, W width of the predictor, L rows of the longest sequence
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unlabeled.contract import Layout
from unlabeled.nn.decoders import narrow_block
from unlabeled.nn.init import sincos


class TokenPredictor(nn.Module):
    """A narrow transformer that predicts features at positions, from visible tokens (I-JEPA, section 3).

    Each set of positions is predicted on its own: rows of different sets do not attend to each other.

    >>> predictor = TokenPredictor(8, width=12, depth=1, heads=2)
    >>> context, asked = Layout((2,), torch.tensor([[0], [1]])), Layout((1,), torch.tensor([[2]]))
    >>> predictor(torch.randn(2, 8), context, [asked]).shape
    torch.Size([1, 8])
    """

    def __init__(self, dim: int, *, width: int, depth: int, heads: int) -> None:
        super().__init__()
        if width < 1 or depth < 1 or heads < 1 or width % heads:
            raise ValueError(
                f"the predictor has width {width}, depth {depth} and {heads} heads; each must be at least 1, "
                "and heads must divide the width"
            )
        self.embed = nn.Linear(dim, width)
        self.token = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(narrow_block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, dim)

    def forward(self, tokens: Tensor, context: Layout, sets: Sequence[Layout]) -> Tensor:
        """``tokens[T', D]`` of layout ``context`` -> ``[H, D]``: the rows of each layout of ``sets``, set after set."""
        width = self.token.numel()
        visible = self.embed(tokens) + sincos(context.position, width).to(self.token.dtype)
        place = torch.cat([layout.position for layout in sets])
        asked = self.token + sincos(place, width).to(self.token.dtype)
        lengths = tuple(n for layout in sets for n in layout.lengths)
        seen = Layout(context.lengths * len(sets), context.position.repeat(len(sets), 1))
        out = self._attend(visible.repeat(len(sets), 1), seen, asked, Layout(lengths, place))
        return self.project(self.norm(out))

    def _attend(self, visible: Tensor, seen: Layout, asked: Tensor, asking: Layout) -> Tensor:
        """One sequence a group, its visible rows before those that it asks for, padded to the longest."""
        lengths = [a + b for a, b in zip(seen.lengths, asking.lengths, strict=True)]
        longest = max(lengths)
        slot = asking.group * longest + seen.counts[asking.group] + asking.within
        x = asked.new_zeros(len(lengths) * longest, asked.shape[1])
        x = x.index_copy(0, seen.group * longest + seen.within, visible.to(x.dtype)).index_copy(0, slot, asked)
        pad = None
        if min(lengths) < longest:
            pad = torch.arange(longest, device=x.device) >= (seen.counts + asking.counts)[:, None]
            pad[:, 0] = False  # attention over nothing is not a number
        x = x.reshape(len(lengths), longest, -1)
        for block in self.blocks:
            x = block(x, src_key_padding_mask=pad)
        return x.flatten(0, 1)[slot]
