"""Compact modern encoders on packed rows: bidirectional (ModernBERT) and causal.

ModernBERT, https://arxiv.org/abs/2412.13663: rotary positions, GeGLU, norms before each part and no biases, full
attention in every third layer and a window in the others. Weights have transformers' own names and meaning, so that an
encoder is a ``ModernBertModel`` (or ``ModernBertDecoderModel``) once it is exported. Differs: rows are packed, so no
padding is computed; weights start Xavier-uniform, since a deviation of 0.02 is meant for a width of 768.

    # B samples, T packed rows, D features, V words, E = D
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Capability, Features, Hide, Layout, Rows, View
from unlabeled.errors import below_one
from unlabeled.nn.rows import drop
from unlabeled_text.batch import TextSpec
from unlabeled_text.encoders.modernbert import THETA_GLOBAL, THETA_LOCAL, modern_model
from unlabeled_text.ops.attention import Buckets, allowed, attend, bucketed, rotary, rotate
from unlabeled_text.ops.layouts import layout_of, pool_rows, words_of
from unlabeled_text.ops.tokenizing import NO_MASK

Pool = Literal["mean", "first", "last"]


class Attention(nn.Module):
    """Attention among the rows of a sample."""

    def __init__(self, width: int, heads: int, window: int, causal: bool, dropout: float) -> None:
        super().__init__()
        self.heads, self.causal, self.window = heads, causal, window
        self.Wqkv = nn.Linear(width, 3 * width, bias=False)
        self.Wo = nn.Linear(width, width, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, x_TD: Tensor, wave: tuple[Tensor, Tensor], buckets: Buckets, seen: list[Tensor | None]) -> Tensor:
        q, k, v = self.Wqkv(x_TD).unflatten(1, (3, self.heads, -1)).unbind(1)
        dropout = self.drop.p if self.drop.training else 0.0
        mixed = attend(rotate(q, wave), rotate(k, wave), v, buckets, seen, causal=self.causal, dropout=dropout)
        return self.drop(self.Wo(mixed))


class GeGLU(nn.Module):
    """Two linear maps with a gate between them, https://arxiv.org/abs/2002.05202."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.Wi = nn.Linear(width, 2 * inner, bias=False)
        self.drop = nn.Dropout(dropout)
        self.Wo = nn.Linear(inner, width, bias=False)

    def forward(self, x_TD: Tensor) -> Tensor:
        value, gate = self.Wi(x_TD).chunk(2, dim=-1)
        return self.Wo(self.drop(F.gelu(value) * gate))


class Layer(nn.Module):
    """Attention, then the gated perceptron, each after a norm and added to its input."""

    def __init__(
        self, width: int, inner: int, heads: int, window: int, causal: bool, dropout: float, first: bool
    ) -> None:
        super().__init__()
        self.attn_norm = nn.Identity() if first else nn.LayerNorm(width, bias=False)
        self.attn = Attention(width, heads, window, causal, dropout)
        self.mlp_norm = nn.LayerNorm(width, bias=False)
        self.mlp = GeGLU(width, inner, dropout)

    def forward(self, x_TD: Tensor, wave: tuple[Tensor, Tensor], buckets: Buckets, seen: list[Tensor | None]) -> Tensor:
        x_TD = x_TD + self.attn(self.attn_norm(x_TD), wave, buckets, seen)
        return x_TD + self.mlp(self.mlp_norm(x_TD))


class Embeddings(nn.Module):
    """Word vectors, normed."""

    def __init__(self, vocabulary: int, width: int, dropout: float) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(vocabulary, width)
        self.norm = nn.LayerNorm(width, bias=False)
        self.drop = nn.Dropout(dropout)


class Modern(nn.Module):
    """Bidirectional encoder; exported as ModernBERT.

    Args:
        width: D, features of a row, a multiple of heads.
        depth: number of layers.
        heads: attention heads; 0 = one for each 32 features.
        inner: features inside the gated perceptron; 0 = one and a half times width.
        window: rows that a local layer sees, half on either side; even; 0 = all layers see everything.
        every: one layer in this many sees everything, beginning with the first.
        dropout: share of activations set to zero in training, in [0, 1).
        pool: one vector a sample: mean of all rows, the first ([CLS]), or the last.
    """

    causal = False

    def __init__(
        self,
        spec: TextSpec,
        *,
        width: int = 128,
        depth: int = 4,
        heads: int = 0,
        inner: int = 0,
        window: int = 128,
        every: int = 3,
        dropout: float = 0.1,
        pool: Literal["mean", "first", "last"] = "mean",
    ) -> None:
        super().__init__()
        heads = heads or max(1, width // 32)
        if min(width, depth, every) < 1 or heads < 1 or width % heads or width // heads % 2:
            raise ValueError(
                f"width {width}, depth {depth}, heads {heads}, every {every}: sizes from 1 on, and width must be a "
                "multiple of heads, an even number of features each"
            )
        if min(inner, window) < 0 or window % 2:
            raise ValueError(f"inner is {inner} and window {window}; both must be at least 0, and window even")
        below_one(dropout=dropout)
        self.spec, self.dim, self.dropout, self.pool = spec, width, dropout, pool
        self.heads, self.window, self.every = heads, window, every
        self.inner = inner or max(8, width * 3 // 2)
        can: set[Capability] = {"tokens", "drop", "swap", "layers"}
        self.cannot = {} if spec.mask is not None else {"mask": NO_MASK}
        self.can: frozenset[Capability] = frozenset(can | {"mask"} if spec.mask is not None else can)
        # a causal window reaches half as far back as both sides of the other do, itself included: as in transformers
        self.reach = 0 if not window else window // 2 - self.causal
        self.embeddings = Embeddings(spec.vocabulary, width, dropout)
        self.layers: Any = nn.ModuleList(
            Layer(width, self.inner, heads, self.reach if n % every else 0, self.causal, dropout, n == 0)
            for n in range(depth)
        )
        self.final_norm = nn.LayerNorm(width, bias=False)
        initialize(self, depth)

    # ------------------------------------------------------------------------------------------ the contract

    def layout(self, batch: Any) -> Layout:
        """A row a token, specials among them."""
        return layout_of(batch, self.spec)

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        if view.hidden is not None and hide not in self.can:
            raise ValueError(f"this vocabulary has no mask token, so rows cannot be hidden by one: hide={hide!r}")
        layout = view.layout or self.layout(view.batch)
        words_T = words_of(view, layout, self.spec.mask if hide == "mask" else None)
        words_T, layout, kept = drop(words_T, view, layout, hide)
        return self.from_embeddings(self.embeddings.tok_embeddings(words_T), layout, kept, layers)

    # ------------------------------------------------------------------------------------------ parts for objectives

    def word_embeddings(self) -> Tensor:
        """``[V, E]``: the input's word vectors, for heads that share them."""
        return self.embeddings.tok_embeddings.weight

    def embed(self, view: View) -> Tensor:
        """``[T, E]``: word vectors of a view, before anything mixes rows."""
        return self.embeddings.tok_embeddings(words_of(view, view.layout or self.layout(view.batch), self.spec.mask))

    def from_embeddings(
        self, x_TE: Tensor, layout: Layout, kept: Rows | None = None, layers: Sequence[int] = ()
    ) -> Features:
        """Features of word vectors ``[T, E]``."""
        x_TD = self.embeddings.drop(self.embeddings.norm(x_TE))
        buckets, position = bucketed(layout), layout.position[:, 0]
        full = allowed(buckets, position, causal=self.causal, window=0)
        near = allowed(buckets, position, causal=self.causal, window=self.reach)
        waves = {reach: rotary(position, self.dim // self.heads, THETA_LOCAL if reach else THETA_GLOBAL)
                 for reach in {layer.attn.window for layer in self.layers}}  # fmt: skip
        states = []
        for layer in self.layers:
            reach = layer.attn.window
            x_TD = layer(x_TD, waves[reach], buckets, near if reach else full)
            if layers:
                states.append(Features(x_TD, layout, pool_rows(x_TD, layout, self.pool), kept))
        x_TD = self.final_norm(x_TD)
        last = Features(x_TD, layout, pool_rows(x_TD, layout, self.pool), kept)
        return replace(last, layers=tuple(states[number] for number in layers))

    def bare(self, view: View) -> tuple[Tensor, Tensor]:
        """Tokens and pooled vector of transformers' own model with these weights, padded: the kit compares."""
        from unlabeled_text.encoders.transformers import padded_forward

        layout = self.layout(view.batch)
        x_TD = padded_forward(self.library_model(), view.batch, layout, self.spec)
        return x_TD, pool_rows(x_TD, layout, self.pool)

    def library_model(self) -> Any:
        """The encoder as a model of transformers, with copies of its weights: what is exported."""
        return modern_model(self)


@torch.no_grad()
def initialize(encoder: Modern, depth: int) -> None:
    """Xavier-uniform layers; what is added to the stream grows by 1 / sqrt(2 * depth) in all, as in ModernBERT."""
    nn.init.normal_(encoder.embeddings.tok_embeddings.weight, std=0.02)
    for name, module in encoder.layers.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, gain=1 / math.sqrt(2 * depth) if name.endswith("Wo") else 1.0)


class Causal(Modern):
    """Causal encoder: a row sees itself and rows before it; exported as ModernBERT's decoder.

    Args:
        window: a local layer sees half as many rows, itself and those before it; even; 0 = all layers see all.
        every: one layer in this many sees everything before it, beginning with the first.
        pool: one vector a sample: mean of all rows, or the last, which alone sees the whole text.
    """

    causal = True

    def __init__(
        self,
        spec: TextSpec,
        *,
        width: int = 128,
        depth: int = 4,
        heads: int = 0,
        inner: int = 0,
        window: int = 128,
        every: int = 3,
        dropout: float = 0.1,
        pool: Literal["mean", "last"] = "mean",
    ) -> None:
        sizes = {"width": width, "depth": depth, "heads": heads, "inner": inner, "window": window, "every": every}
        super().__init__(spec, **sizes, dropout=dropout, pool=pool)
