"""A small CNN over the rows of the spectrogram: 1-D ConvNeXt blocks, https://arxiv.org/abs/2201.03545.

A clip's vector is the mean of its rows, or mean and maximum together, as in BYOL-A, https://arxiv.org/abs/2103.06695:
what sounds for a moment only is then not averaged away. A row sees ``depth * (kernel // 2)`` rows to either side and no
more, which objectives that predict what comes next (vq-wav2vec) rely on. Differs: one width and one resolution;
LayerNorm over channels and no scale of layers.

    # T packed rows, G clips, L rows of the longest, D features
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from unlabeled.contract import Features, Hide, Layout, View
from unlabeled.errors import above
from unlabeled.nn.init import xavier
from unlabeled.nn.recompute import rowwise
from unlabeled.transfer import numbers
from unlabeled_audio.batch import AudioSpec
from unlabeled_audio.encoders.rows import MelEncoder, finish, refuse_drop, state


class Block(nn.Module):
    """A depthwise convolution over the rows of a clip, then a perceptron on each row."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x_TD: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        mixed = self.mix(layout.dense(x_TD)[0].transpose(1, 2)).transpose(1, 2)
        feed = rowwise(self._each, layout.pack(mixed))
        return x_TD + feed, feed

    def _each(self, x_TD: Tensor) -> Tensor:
        return self.mlp(self.norm(x_TD))


def greatest(x_TD: Tensor, layout: Layout) -> Tensor:
    """The greatest of each feature over the rows of a clip: ``[B, D]``."""
    counts = numbers(layout.lengths, x_TD.device)
    return torch.segment_reduce(x_TD, "max", lengths=counts, axis=0, unsafe=True)


class CNN(MelEncoder):
    """A small convolutional network over the log-mel spectrogram.

    Args:
        patch: mel bands and frames of a row; 0 bands = all, which is what a CNN over time takes.
        width: D, features of a row.
        depth: number of blocks.
        kernel: rows that a convolution sees, odd.
        pool: a clip's vector: avg, the mean of its rows, or avg_max, the mean plus the greatest of each feature.
    """

    def __init__(
        self,
        spec: AudioSpec,
        *,
        patch: tuple[int, int] = (0, 2),
        width: int = 192,
        depth: int = 4,
        kernel: int = 5,
        pool: Literal["avg", "avg_max"] = "avg",
    ) -> None:
        super().__init__(spec, patch)
        above(0, width=width, depth=depth, kernel=kernel)
        if kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}; it must be odd")
        if self.bands > 1:
            raise ValueError(f"patch is {patch}; a CNN over time takes all mel bands, so 0 of them")
        self.dim, self.pool = width, pool
        self.can = frozenset({"tokens", "mask", "swap", "layers"})
        self.enter(width)
        self.blocks = nn.ModuleList(Block(width, kernel) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        xavier(self)

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        refuse_drop("cnn", view, hide)
        x_TD, layout = self.rows(view, hide)
        states = []
        for block in self.blocks:
            x_TD, feed = block(x_TD, layout)
            states.append(state(x_TD, layout, None, feed))
        found = finish(self.norm(x_TD), layout, None, states, layers)
        return replace(found, pooled=found.pooled + greatest(found.tokens, layout)) if self.pool == "avg_max" else found
