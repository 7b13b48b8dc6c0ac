"""The small transformers that objectives bring along: ELECTRA's generator, and decoders that an encoder is taught by.

Pre-norm blocks with GELU, sine-cosine positions of the packed rows, and dropout as modules, so that it can be switched
off. A decoder may attend to one vector a text (TSDAE, DenoSent): over one key a softmax is 1, so that attention is a
Linear of the vector, added to every row.

    # G groups, T packed rows, L rows of the longest group, D width, N heads
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout
from unlabeled.errors import at_least, below_one
from unlabeled.nn.init import sincos

Memory = Literal["none", "vector"]


def heads_for(width: int, heads: int = 0) -> int:
    """``heads``, or one for each 64 features where it is 0; ``ValueError`` where width is no multiple."""
    heads = heads or next(n for n in range(max(1, width // 64), 0, -1) if width % n == 0)
    if width < 1 or heads < 1 or width % heads:
        raise ValueError(f"width {width} is no multiple of {heads} heads")
    return heads


def narrower(width: int, share: float) -> int:
    """``share`` of a width, in multiples of 32: of a small model beside a large one."""
    return max(32, round(width * share / 32) * 32)


class Attention(nn.Module):
    """Multi-head attention of ``x[G, L, D]`` to itself."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.pair = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, pad_GL: Tensor | None, *, causal: bool = False) -> Tensor:
        """``pad_GL`` True = no row there."""
        query = self._split(self.query(x))
        key, value = (self._split(part) for part in self.pair(x).chunk(2, -1))
        # under causal attention a real row precedes all padding, so it never sees any
        mask = None if pad_GL is None or causal else ~pad_GL[:, None, None]
        mixed = F.scaled_dot_product_attention(query, key, value, mask, is_causal=causal)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Self-attention, what the memory adds, feed-forward; each after a LayerNorm and beside a residual."""

    def __init__(self, dim: int, heads: int, *, memory: Memory, memory_dim: int, causal: bool, dropout: float) -> None:
        super().__init__()
        self.causal = causal
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.own = Attention(dim, heads)
        self.cross = nn.Linear(memory_dim, dim) if memory == "vector" else None
        self.change = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, pad: Tensor | None, memory: Tensor | None) -> Tensor:
        x = x + self.drop(self.own(self.norms[0](x), pad, causal=self.causal))
        if self.cross is not None and memory is not None:
            x = x + self.drop(self.cross(memory.to(x.dtype)))[:, None]
        return x + self.drop(self.change(self.norms[1](x)))


class Transformer(nn.Module):
    """``depth`` blocks over packed rows ``x[T, D]``, and a last LayerNorm."""

    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int = 0,
        *,
        memory: Memory = "none",
        memory_dim: int = 0,
        causal: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        at_least(1, depth=depth)
        below_one(dropout=dropout)
        heads, wide = heads_for(dim, heads), memory_dim or dim
        self.blocks = nn.ModuleList(
            Block(dim, heads, memory=memory, memory_dim=wide, causal=causal, dropout=dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, x_TD: Tensor, layout: Layout, memory_GW: Tensor | None = None) -> Tensor:
        """``[T, D]``. ``memory_GW``: one vector a group."""
        x, pad = layout.dense(x_TD + sincos(layout.within[:, None], x_TD.shape[1]).to(x_TD.dtype))
        for block in self.blocks:
            x = block(x, pad, memory_GW)
        return self.norm(layout.pack(x))


def shifted(x_TE: Tensor, layout: Layout, first_E: Tensor) -> Tensor:
    """Each row takes the place of the next in its group, and ``first_E`` that of the first: what a decoder reads."""
    moved = torch.cat((first_E.to(x_TE.dtype)[None], x_TE[:-1]))
    return torch.where((layout.within == 0)[:, None], first_E.to(x_TE.dtype), moved)
