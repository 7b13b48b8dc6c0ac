"""A target restored word by word: by the decoder that an encoder brings (T5, BART), or from one vector alone.

It reads the target so far and predicts the next word. An encoder's own decoder attends to the rows of the source, and
is saved and exported with it; the one that reads a vector teaches the vector, and is thrown away.

    # T packed rows of the target, V words, D width, E of the word embeddings
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Features, Layout, View, role
from unlabeled.errors import UsageError
from unlabeled_text.decoders.transformer import Transformer, shifted
from unlabeled_text.ops.vocabulary import VocabularyHead, layout_of, table_of, tokens_of


class VectorDecoder(nn.Module):
    """A causal decoder over the encoder's word embeddings, which sees nothing of the source but its pooled vector.

    Args:
        table_VE: the encoder's word embeddings.
        dim: width of the encoder, and of the decoder.
        depth: blocks.
        heads: attention heads; 0 = one for each 64 features.
        dropout: in [0, 1).
    """

    def __init__(self, table_VE: Tensor, dim: int, depth: int, heads: int = 0, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(table_VE.shape[1]) * 0.02)
        self.embed = nn.Linear(table_VE.shape[1], dim)
        self.blocks = Transformer(dim, depth, heads, memory="vector", memory_dim=dim, causal=True, dropout=dropout)
        self.head = VocabularyHead(dim, table_VE)

    def forward(self, words_T: Tensor, layout: Layout, source: Features, table_VE: Tensor) -> Tensor:
        """Logits ``[T, V]`` of each word from those before it."""
        x_TD = self.embed(shifted(table_VE[words_T], layout, self.first))
        return self.head(self.blocks(x_TD, layout, source.pooled), table_VE)


class OwnDecoder(nn.Module):
    """Calls the decoder that belongs to the encoder (T5, BART): nothing here is a parameter.

    ``ValueError`` where the encoder has none: one that is trained beside it would be lost.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        if not getattr(encoder, "two", False):
            raise ValueError(
                "words are restored by the encoder's own decoder, which is kept with it, and this one has none: choose "
                "--encoder seq2seq, transformers/t5 or transformers/bart"
            )
        self._encoder = [encoder]  # in a list, so that it is not registered twice

    def forward(self, words_T: Tensor, layout: Layout, source: Features, table_VE: Tensor) -> Tensor:
        """Logits ``[T, V]``."""
        logits: Tensor = self._encoder[0].decode(words_T, layout, source)
        return logits


def pair_of(views: Sequence[View]) -> tuple[View, View]:
    """The source and the target of each text."""
    return role(views, "source")[0], role(views, "target")[0]


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
