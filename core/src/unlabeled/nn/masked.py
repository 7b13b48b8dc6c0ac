"""What masked prediction is made of, whatever the target: MAE, SimMIM, I-JEPA and data2vec choose theirs.

An objective hides rows from the encoder, predicts something for them, and averages over all predicted rows of all
ranks: a rank with more hidden rows weighs more, as it would in one batch.

    # B samples, G groups, T packed rows, H predicted rows, D features, W width of the predictor, P coordinates,
    # L rows of the longest sequence
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout, Rows, View
from unlabeled.nn.distributed import all_reduce
from unlabeled.nn.precision import full


def target_rows(view: View) -> Tensor:
    """``int64[H]``: the rows where the loss applies, set after set."""
    assert view.targets, "the mask set no rows"
    return torch.cat([rows.index for rows in view.targets])


def union_mean(values_H: Tensor) -> Tensor:
    """The mean of the values of all ranks; 0 where there are none. Gradients averaged over ranks are those of one."""
    values = full(values_H)
    total, count = all_reduce(torch.stack((values.sum(), values.new_tensor(float(len(values)))))).unbind()
    return total / count.clamp(min=1)


@torch.no_grad()
def deviation(x_HD: Tensor) -> Tensor:
    """Mean over features of their standard deviation over rows, 0 without rows: near 0, targets have collapsed."""
    # spelled out, since torch's own warns about no rows
    x, rows = full(x_HD), max(1, len(x_HD))
    return ((x - x.sum(0) / rows).square().sum(0) / rows).sqrt().mean()


def restore(tokens: Tensor, kept: Rows | None, token_D: Tensor, total: int) -> Tensor:
    """The whole sequence ``[T, D]``: ``tokens`` at the rows that were kept, ``token_D`` at those that were dropped."""
    if kept is None:
        return tokens
    whole = token_D.to(tokens.dtype).expand(total, -1)
    return whole.index_copy(0, kept.index, tokens)


def sincos(position_TP: Tensor, width: int) -> Tensor:
    """Sine-cosine embedding ``[T, width]``, an equal part for each coordinate; 0 where rows have no position."""
    coordinates = position_TP.shape[1]
    if coordinates == 0:
        return torch.zeros(len(position_TP), width, device=position_TP.device)
    count = width // (2 * coordinates)
    frequency = torch.exp(torch.arange(count, device=position_TP.device) * (-math.log(10000.0) / max(count, 1)))
    angle_TPF = full(position_TP)[..., None] * frequency
    parts = torch.cat((angle_TPF.sin(), angle_TPF.cos()), dim=-1).flatten(1)
    return F.pad(parts, (0, width - parts.shape[1]))


class TokenPredictor(nn.Module):
    """A narrow transformer that predicts features at positions, from visible tokens (I-JEPA, section 3).

    Each set of positions is predicted on its own: rows of different sets do not attend to each other.
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
        self.blocks = nn.ModuleList(_block(width, heads) for _ in range(depth))
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
        start = torch.tensor(seen.lengths, device=asked.device)[asking.group]
        slot = asking.group * longest + start + asking.within
        x = asked.new_zeros(len(lengths) * longest, asked.shape[1])
        x = x.index_copy(0, seen.group * longest + seen.within, visible.to(x.dtype)).index_copy(0, slot, asked)
        pad = None
        if min(lengths) < longest:
            pad = torch.arange(longest, device=x.device) >= torch.tensor(lengths, device=x.device)[:, None]
            pad[:, 0] = False  # attention over nothing is not a number
        x = x.reshape(len(lengths), longest, -1)
        for block in self.blocks:
            x = block(x, src_key_padding_mask=pad)
        return x.flatten(0, 1)[slot]


def _block(width: int, heads: int) -> nn.Module:
    return nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
