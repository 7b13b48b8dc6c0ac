"""AST-style Vision Transformer over patches of the spectrogram, https://arxiv.org/abs/2104.01778, of timm's blocks.

A clip has as many rows as it has patches; two prefix tokens, class and distillation, come before them, as in AST.
``export/transformers.py`` writes AST's own format. Differs: positions are sines and cosines of (time, mel band), so
clips may be of any length; patches do not overlap unless they are frames; the weights of ImageNet are not used.

    # T packed rows, G clips, D features, C numbers of a patch
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from unlabeled.contract import Features, Hide, Layout, View
from unlabeled.nn.init import sincos, xavier
from unlabeled.nn.recompute import rowwise
from unlabeled.nn.rows import drop
from unlabeled.transfer import numbers
from unlabeled_audio.batch import AudioSpec
from unlabeled_audio.encoders.rows import MelEncoder, attend

PREFIX = 2  # class and distillation token


def through(block: Any, x_TD: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """timm's pre-norm block on packed rows: its output, and what its perceptron added."""
    mixed = attend(block.attn.qkv(block.norm1(x_TD)), layout, block.attn.num_heads)
    x_TD = x_TD + block.attn.proj(mixed)
    feed = rowwise(lambda rows: block.mlp(block.norm2(rows)), x_TD)
    return x_TD + feed, feed


def prefixed(layout: Layout) -> tuple[Layout, Tensor]:
    """The layout with the prefix tokens before each clip's rows, and where the rows have gone."""
    lengths = tuple(n + PREFIX for n in layout.lengths)
    place = torch.arange(layout.total, device=layout.position.device) + PREFIX * (layout.group + 1)
    return Layout(lengths, layout.position.new_zeros(sum(lengths), 1)), place


class ViT(MelEncoder):
    """Vision Transformer over the log-mel spectrogram.

    Args:
        patch: mel bands and frames of a patch; 0 bands = all, so that rows are frames (16,16 is AST's).
        width: D, features of a row, a multiple of heads.
        depth: number of blocks.
        heads: attention heads; 0 = one for each 64 features, at least 3.
        pool: a clip's vector: avg, the mean of its rows, or cls, of the class and distillation tokens, as in AST.
    """

    def __init__(
        self,
        spec: AudioSpec,
        *,
        patch: tuple[int, int] = (0, 2),
        width: int = 192,
        depth: int = 4,
        heads: int = 0,
        pool: Literal["avg", "cls"] = "avg",
    ) -> None:
        super().__init__(spec, patch)
        heads = heads or max(3, width // 64)
        if width < 4 or depth < 1 or heads < 1 or width % heads:
            raise ValueError(f"width {width}, depth {depth}, heads {heads}: depth from 1 on, heads a divisor")
        self.dim, self.pool = width, pool
        self.can = frozenset({"tokens", "mask", "drop", "swap", "layers"})
        self.embed = nn.Linear(self.cell, width)
        self.prefix = nn.Parameter(torch.randn(PREFIX, width) * 0.02)
        self.mask_token = nn.Parameter(torch.randn(width) * 0.02)
        norm: Any = partial(nn.LayerNorm, eps=1e-6)  # timm's
        self.blocks = nn.ModuleList(Block(width, heads, qkv_bias=True, norm_layer=norm) for _ in range(depth))
        self.norm = norm(width)
        xavier(self)

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        x_TD, layout = self.rows(view, hide)
        x_TD = x_TD + sincos(layout.position, self.dim).to(x_TD.dtype)
        x_TD, layout, kept = drop(x_TD, view, layout, hide)
        whole, place = prefixed(layout)
        x = self.prefix.to(x_TD.dtype).repeat(len(layout.lengths), 1)
        head = numbers(whole.offsets[:-1], x.device)[:, None] + torch.arange(PREFIX, device=x.device)
        x = x.new_zeros(whole.total, self.dim).index_copy(0, head.flatten(), x).index_copy(0, place, x_TD)
        states = []
        for block in self.blocks:
            x, feed = through(block, x, whole)
            states.append((x, feed[place]))

        def features(x: Tensor, feed: Tensor | None = None) -> Features:
            rows, prefix = x[place], x[head]
            pooled = prefix.mean(1) if self.pool == "cls" else layout.mean(rows)
            return Features(rows, layout, pooled, kept, prefix, feed=feed)

        return replace(features(self.norm(x)), layers=tuple(features(*states[number]) for number in layers))
