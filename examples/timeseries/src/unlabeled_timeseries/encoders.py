"""A small Transformer over patches of ragged waveforms. Hidden rows become a mask token, or are dropped.

https://arxiv.org/abs/1706.03762, with norms before attention.

    # B samples, T packed rows, G groups, L rows of the longest group, D features
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Features, Hide, Layout, View
from unlabeled.nn.init import sincos
from unlabeled.nn.rows import drop, edit, learn_mask_token
from unlabeled_timeseries.batch import Spec, WaveBatch


class Transformer(nn.Module):
    """Transformer over patches; a sample's vector is the mean of its rows.

    Args:
        patch: values of a row: 1, 2, 4 or 8.
        width: D, features of a row, a multiple of heads.
        depth: number of blocks.
        heads: attention heads.
    """

    def __init__(self, spec: Spec, *, patch: int = 8, width: int = 64, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        if patch < 1 or spec.step % patch:
            raise ValueError(f"patch is {patch}; it must divide {spec.step}")
        if heads < 1 or width % heads:
            raise ValueError(f"heads is {heads}; it must divide width {width}")
        self.dim, self.patch = width, patch
        self.can = frozenset({"tokens", "mask", "drop", "swap", "layers"})
        self.embed = nn.Linear(patch, width)
        self.mask_token = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    prepare = learn_mask_token

    def layout(self, batch: WaveBatch) -> Layout:
        lengths = tuple(n // self.patch for n in batch.lengths)
        place = torch.cat([torch.arange(n, device=batch.x.device) for n in lengths])
        grid = (lengths[0],) if len(set(lengths)) == 1 else None
        return Layout(lengths, place[:, None], grid)

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        batch: Any = view.batch
        layout = view.layout or self.layout(batch)
        x_TD = self.embed(layout.pack(batch.x.unflatten(1, (-1, self.patch))))
        x_TD = edit(x_TD, view, hide, self.mask_token)
        x_TD = x_TD + sincos(layout.position, self.dim).to(x_TD.dtype)
        x_TD, layout, kept = drop(x_TD, view, layout, hide)
        states = []
        for block in self.blocks:
            x_TD = block(x_TD, layout)
            states.append(Features(x_TD, layout, layout.mean(x_TD), kept))
        x_TD = self.norm(x_TD)
        last = Features(x_TD, layout, layout.mean(x_TD), kept)
        return replace(last, layers=tuple(states[number] for number in layers))


class Block(nn.Module):
    """Attention among the rows of a sample, then a perceptron on each; padding is kept out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x_TD: Tensor, layout: Layout) -> Tensor:
        qkv, pad_GL = layout.dense(self.qkv(self.before(x_TD)))
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=2))
        seen = None if pad_GL is None else ~pad_GL[:, None, None]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).flatten(2)
        x_TD = x_TD + self.out(layout.pack(mixed))
        return x_TD + self.mlp(self.after(x_TD))
