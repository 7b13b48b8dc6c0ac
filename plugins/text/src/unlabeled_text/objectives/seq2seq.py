"""Restoring a text word by word: T5, UL2, BART, code-switching, hyphens, and TSDAE, which differ by their views.

The encoder reads the source; a decoder reads the target so far, attends to the encoder, and predicts the next word.

- T5, https://arxiv.org/abs/1910.10683: spans of the source are sentinels, and the target spells them out.
- UL2, https://arxiv.org/abs/2205.05131: a mixture of such denoisers, each announced by a mode token.
- BART, https://arxiv.org/abs/1910.13461: noise of several kinds, and the target is the whole text.
- CSR, https://arxiv.org/abs/2204.07834 (CSR4mBART): words are replaced by their translations; restore the original.
- CompoundPiece, https://arxiv.org/abs/2305.14214: hyphens are taken out of words; put them back.
- TSDAE, https://arxiv.org/abs/2104.06979: words are deleted, and the decoder attends to one vector alone.

Differs: unless the encoder brings a decoder of its own, one is trained beside it and thrown away, tied to the encoder's
word embeddings; the mean is over all target words of all ranks.

    # B samples, T packed rows of the target, S of the source, V words, D width, E of the word embeddings
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlabeled.contract import Features, Layout, Loss, Needs, View, role
from unlabeled.errors import UsageError
from unlabeled.nn.distributed import union_mean
from unlabeled_text.decoders.transformer import Transformer, shifted
from unlabeled_text.ops.vocabulary import VocabularyHead, hit_rate, layout_of, table_of, tokens_of, word_loss


class SequenceDecoder(nn.Module):
    """A causal decoder over the encoder's word embeddings.

    Args:
        table_VE: the encoder's word embeddings.
        dim: width of the encoder, and of the decoder.
        depth: blocks.
        heads: attention heads; 0 = one for each 64 features.
        memory: rows = attend to every row of the source, vector = to the pooled vector alone.
        dropout: in [0, 1).
    """

    def __init__(
        self,
        table_VE: Tensor,
        dim: int,
        depth: int,
        heads: int = 0,
        *,
        memory: Literal["rows", "vector"] = "rows",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.memory = memory
        self.first = nn.Parameter(torch.randn(table_VE.shape[1]) * 0.02)
        self.embed = nn.Linear(table_VE.shape[1], dim)
        self.blocks = Transformer(dim, depth, heads, memory=memory, memory_dim=dim, causal=True, dropout=dropout)
        self.head = VocabularyHead(dim, table_VE)

    def forward(self, words_T: Tensor, layout: Layout, source: Features, table_VE: Tensor) -> Tensor:
        """Logits ``[T, V]`` of each word from those before it."""
        x_TD = self.embed(shifted(table_VE[words_T], layout, self.first))
        if self.memory == "vector":
            return self.head(self.blocks(x_TD, layout, source.pooled), table_VE)
        return self.head(self.blocks(x_TD, layout, source.tokens, source.layout), table_VE)


def pair_of(views: Sequence[View]) -> tuple[View, View]:
    """The source and the target of each text."""
    source = next(view for view in role(views, "source"))
    target = next(view for view in role(views, "target"))
    return source, target


def packed_layout(encoder: Any, view: View) -> Layout:
    """The layout of a target: its own words in a row, whatever an encoder would add to them."""
    batch: Any = view.batch
    layout = layout_of(encoder, view)
    if tuple(layout.lengths) == tuple(batch.lengths):
        return layout
    position = torch.cat([torch.arange(n, device=batch.tokens.device) for n in batch.lengths])
    return Layout(tuple(batch.lengths), position[:, None])


def restore_rows(decoder: Any, encoder: Any, source: Features, target: View) -> tuple[Tensor, Tensor]:
    """Logits ``[T, V]`` and words ``[T]`` of a target."""
    layout, words_T = packed_layout(encoder, target), tokens_of(target)
    if len(layout.lengths) != len(source.pooled):
        raise UsageError(f"{len(layout.lengths)} targets for {len(source.pooled)} sources; views must pair them")
    return decoder(words_T, layout, source, table_of(encoder)), words_T


class OwnDecoder(nn.Module):
    """Calls the decoder that belongs to the encoder (T5, BART): nothing here is a parameter."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self._encoder = [encoder]  # in a list, so that it is not registered twice

    def forward(self, words_T: Tensor, layout: Layout, source: Features, table_VE: Tensor) -> Tensor:
        """Logits ``[T, V]``."""
        logits: Tensor = self._encoder[0].decode(words_T, layout, source)
        return logits


def decoder_for(encoder: Any, depth: int, heads: int, memory: Literal["rows", "vector"], dropout: float) -> nn.Module:
    """The encoder's own decoder, where it has one that reads rows, or a new one."""
    if memory == "rows" and hasattr(encoder, "decode"):
        return OwnDecoder(encoder)
    return SequenceDecoder(table_of(encoder), encoder.dim, depth, heads, memory=memory, dropout=dropout)


class Seq2Seq(nn.Module):
    """Predict the target, word by word, from the source: T5, UL2, BART and the like, by their views.

    Args:
        depth: blocks of the decoder, where the encoder brings none; at least 1.
        heads: attention heads of the decoder; 0 = one for each 64 features.
        dropout: of the decoder, in [0, 1).
    """

    def __init__(self, encoder: Any, *, depth: int = 2, heads: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        self.needs = Needs(views={"source": 1, "target": 1}, encoder=frozenset({"tokens"}))
        self.decoder = decoder_for(encoder, depth, heads, "rows", dropout)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        source, target = pair_of(views)
        logits, words = restore_rows(self.decoder, encoder, encoder(source), target)
        return Loss(union_mean(word_loss(logits, words)), {"hits": hit_rate(logits, words)})


class TSDAE(nn.Module):
    """Restore a text from one vector of what is left of it.

    Args:
        depth: blocks of the decoder, at least 1; as many as the encoder's in the paper.
        heads: attention heads of the decoder; 0 = one for each 64 features.
        dropout: of the decoder, in [0, 1).
    """

    def __init__(self, encoder: Any, *, depth: int = 2, heads: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        self.needs = Needs(views={"source": 1, "target": 1})
        self.decoder = decoder_for(encoder, depth, heads, "vector", dropout)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        source, target = pair_of(views)
        logits, words = restore_rows(self.decoder, encoder, encoder(source), target)
        return Loss(union_mean(word_loss(logits, words)), {"hits": hit_rate(logits, words)})
