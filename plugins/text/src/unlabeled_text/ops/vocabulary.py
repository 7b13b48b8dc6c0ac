"""Words of a view and their loss: heads tied to the encoder's word embeddings, hidden words, next words.

A head never sees a row that is not predicted: at a vocabulary of 30,000 it costs more than the encoder otherwise.

    # B samples, T packed rows, H predicted rows, V words, D features of the encoder, E of its word embeddings
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout, View
from unlabeled.errors import UsageError
from unlabeled.nn.chance import uniform
from unlabeled.nn.precision import full
from unlabeled.nn.rows import target_rows
from unlabeled.transfer import which

BELOW_ONE = 1.0 - 2.0**-24


def tokens_of(view: View) -> Tensor:
    """``int64[T]``: the tokens of the text itself, whatever a mask shows in their place."""
    if view.ids is not None:
        return view.ids
    batch: Any = view.batch
    return batch.tokens


def shown_of(view: View) -> Tensor:
    """``int64[T]``: the tokens that the encoder reads at rows that are not hidden."""
    return tokens_of(view) if view.shown is None else view.shown


def layout_of(encoder: Any, view: View) -> Layout:
    """The view's layout, or the one that the encoder would give it."""
    return encoder.layout(view.batch) if view.layout is None else view.layout


def table_of(encoder: Any) -> Tensor:
    """``[V, E]``: the encoder's word embeddings; ``ValueError`` where it has none."""
    if not hasattr(encoder, "word_embeddings"):
        raise ValueError(f"encoder {type(encoder).__name__} has no word_embeddings(); choose one that reads tokens")
    table: Tensor = encoder.word_embeddings()
    return table


class VocabularyHead(nn.Module):
    """BERT's head, https://arxiv.org/abs/1810.04805: Linear, GELU, LayerNorm, then the word embeddings, and a bias.

    ``plain`` leaves out the first three (GPT-2); a Linear stays where the widths differ. The embeddings are passed to
    each call, so that they are a parameter of the encoder alone.
    """

    def __init__(self, width: int, table_VE: Tensor, *, plain: bool = False) -> None:
        super().__init__()
        words, narrow = table_VE.shape
        layers: list[nn.Module] = [] if plain and width == narrow else [nn.Linear(width, narrow)]
        if not plain:
            layers += [nn.GELU(), nn.LayerNorm(narrow)]
        self.transform = nn.Sequential(*layers)
        self.bias = None if plain else nn.Parameter(torch.zeros(words))

    def forward(self, x_HD: Tensor, table_VE: Tensor) -> Tensor:
        """Logits ``[H, V]``."""
        x_HE = self.transform(x_HD)
        return F.linear(x_HE, table_VE.to(x_HE.dtype), None if self.bias is None else self.bias.to(x_HE.dtype))


def word_loss(logits_HV: Tensor, words_H: Tensor) -> Tensor:
    """Cross-entropy of each row, in full precision: ``[H]``."""
    return F.cross_entropy(full(logits_HV), words_H, reduction="none")


@torch.no_grad()
def hit_rate(logits_HV: Tensor, words_H: Tensor) -> Tensor:
    """Share of rows whose likeliest word is the right one, 0 where there are none."""
    return (logits_HV.argmax(-1) == words_H).float().sum() / max(1, len(words_H))


@torch.no_grad()
def sample_words(logits_HV: Tensor, words_H: Tensor) -> Tensor:
    """One word of each row's softmax, by inversion at the random bits ``words_H``: ``int64[H]``."""
    heap_HV = full(logits_HV).softmax(-1).cumsum(-1)
    # float32: the last sum is not quite 1, and u = 0 must not take a word of probability 0
    point_H1 = (uniform(words_H)[:, None].clamp(2.0**-26, BELOW_ONE)) * heap_HV[:, -1:]
    return torch.searchsorted(heap_HV, point_H1).flatten().clamp(max=heap_HV.shape[1] - 1)


# ---------------------------------------------------------------------------------------------- rows that are predicted


def mlm_rows(encoder: Any, head: VocabularyHead, view: View) -> tuple[Tensor, Tensor]:
    """Logits ``[H, V]`` at the rows that a mask chose, and the words ``[H]`` that stood there."""
    return head_rows(encoder(view).tokens, encoder, head, view)


def head_rows(tokens_TD: Tensor, encoder: Any, head: VocabularyHead, view: View) -> tuple[Tensor, Tensor]:
    """The same, of tokens that the encoder gave already."""
    index = target_rows(view)
    return head(tokens_TD[index], table_of(encoder)), tokens_of(view)[index]


def next_rows(layout: Layout) -> Tensor:
    """``int64[H]``: the rows that another row of their group follows."""
    last = layout.counts[layout.group] - 1
    return which(layout.within < last, layout.total - sum(n > 0 for n in layout.lengths))


def refuse_two_sided(encoder: Any, who: str) -> None:
    """``ValueError`` where a row of the encoder sees the rows after it."""
    if not getattr(encoder, "causal", False):
        raise ValueError(
            f"{who} predicts the next word, and this encoder sees it: choose a causal one (--encoder causal)"
        )


def next_words(encoder: Any, head: VocabularyHead, view: View) -> tuple[Tensor, Tensor]:
    """Logits ``[H, V]`` and the next word ``[H]`` of every row that has one."""
    features = encoder(view)
    index, words_T = next_rows(features.layout), tokens_of(view)
    if features.layout.total != len(words_T):
        raise UsageError(f"the encoder gave {features.layout.total} rows for {len(words_T)} words; one each is needed")
    return head(features.tokens[index], table_of(encoder)), words_T[index + 1]
