"""Conformer over the rows of the spectrogram, https://arxiv.org/abs/2005.08100: attention and convolution by turns.

Differs: positions are sines and cosines that are added once, where the paper's are relative; LayerNorm stands for
BatchNorm in the convolution module, since statistics over a batch would hold other clips and padding.

    # T packed rows, G clips, L rows of the longest, D features
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Features, Hide, Layout, View
from unlabeled.nn.init import sincos, xavier
from unlabeled_audio.batch import AudioSpec
from unlabeled_audio.encoders.rows import MelEncoder, attend, finish, refuse_drop, state


class FeedForward(nn.Module):
    """Half a step of a perceptron, with its norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.enter, self.leave = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x_TD: Tensor) -> Tensor:
        return 0.5 * self.leave(F.silu(self.enter(self.norm(x_TD))))


class Convolution(nn.Module):
    """Gate, depthwise convolution over the rows of a clip, norm, Swish."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(width), nn.LayerNorm(width)
        self.gate, self.leave = nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.mix = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)

    def forward(self, x_TD: Tensor, layout: Layout) -> Tensor:
        x_TD = F.glu(self.gate(self.norm(x_TD)), dim=1)
        mixed = self.mix(layout.dense(x_TD)[0].transpose(1, 2)).transpose(1, 2)
        return self.leave(F.silu(self.inner(layout.pack(mixed))))


class Block(nn.Module):
    """Perceptron, attention, convolution, perceptron, norm."""

    def __init__(self, width: int, heads: int, kernel: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = FeedForward(width), FeedForward(width)
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.convolution = Convolution(width, kernel)

    def forward(self, x_TD: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        x_TD = x_TD + self.first(x_TD)
        x_TD = x_TD + self.out(attend(self.qkv(self.before(x_TD)), layout, self.heads))
        x_TD = x_TD + self.convolution(x_TD, layout)
        feed = self.second(x_TD)
        return self.after(x_TD + feed), feed


class Conformer(MelEncoder):
    """Conformer over the log-mel spectrogram.

    Args:
        patch: mel bands and frames of a row; 0 bands = all (the paper reads 4 frames a row, after two convolutions).
        width: D, features of a row, a multiple of heads.
        depth: number of blocks.
        heads: attention heads.
        kernel: rows that the convolution sees, odd (31 in the paper, at 40 ms a row).
    """

    def __init__(
        self,
        spec: AudioSpec,
        *,
        patch: tuple[int, int] = (0, 2),
        width: int = 144,
        depth: int = 4,
        heads: int = 4,
        kernel: int = 15,
    ) -> None:
        super().__init__(spec, patch)
        if min(width, depth, heads) < 1 or width % heads or kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"width {width}, depth {depth}, heads {heads}, kernel {kernel}: from 1 on, the kernel odd")
        if self.bands > 1:
            raise ValueError(f"patch is {patch}; convolutions over time take all mel bands, so 0 of them")
        self.dim = width
        self.can = frozenset({"tokens", "mask", "swap", "layers"})
        self.enter(width)
        self.blocks = nn.ModuleList(Block(width, heads, kernel) for _ in range(depth))
        xavier(self)

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        refuse_drop("conformer", view, hide)
        x_TD, layout = self.rows(view, hide)
        x_TD = x_TD + sincos(layout.position, self.dim).to(x_TD.dtype)
        states = []
        for block in self.blocks:
            x_TD, feed = block(x_TD, layout)
            states.append(state(x_TD, layout, None, feed))
        return finish(x_TD, layout, None, states, layers)
