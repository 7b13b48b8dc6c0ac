"""DenoSent, https://arxiv.org/abs/2401.13621: restore a sentence from its noisy word embeddings and one vector.

A non-autoregressive decoder reads the embeddings of the sentence under heavy dropout, and attends to the encoder's
vector of a perturbed sentence alone, so what the noise took away must come from the vector. Beside it, SimCSE's
contrast between two views. Differs: the discrete noise is whatever the views make (the paper translates back and
forth); the decoder's depth is a setting, 16 in the paper, which starts from BERT; the vector is the encoder's pooling,
not a prompt; ``restore`` can leave out texts, since a softmax over the vocabulary costs more than a small encoder.

    # B samples, T packed rows, H rows of words, V words, D features, E of the word embeddings
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from unlabeled.contract import Layout, Loss, Needs, View, role
from unlabeled.errors import UsageError, above, at_least, below_one, within
from unlabeled.masks.rows import gather_rows
from unlabeled.nn.chance import draw_at, uniform
from unlabeled.nn.clock import Clock
from unlabeled.nn.distributed import union_mean
from unlabeled_text.decoders.transformer import Transformer
from unlabeled_text.ops.contrast import Twins, sentence_nce
from unlabeled_text.ops.purposes import Use
from unlabeled_text.ops.vocabulary import (
    VocabularyHead,
    hit_rate,
    layout_of,
    table_of,
    tokens_of,
    word_loss,
)


class Denoiser(nn.Module):
    """Noisy word embeddings and one vector a sentence -> logits of every word."""

    def __init__(self, table_VE: Tensor, dim: int, depth: int, heads: int, noise: float, dropout: float) -> None:
        super().__init__()
        self.noise = nn.Dropout(noise)
        self.embed = nn.Linear(table_VE.shape[1], dim)
        self.blocks = Transformer(dim, depth, heads, memory="vector", memory_dim=dim, dropout=dropout)
        self.head = VocabularyHead(dim, table_VE)

    def forward(self, view: View, vector_BD: Tensor, table_VE: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[H, V]`` at all rows of words, and the words ``[H]``."""
        layout = view.layout
        assert layout is not None
        if len(layout.lengths) != len(vector_BD):
            raise UsageError("denosent needs one group of rows a sample; this encoder's layout has others")
        words_T = tokens_of(view)
        x_TD = self.embed(self.noise(table_VE[words_T]))
        index = (layout.maskable or layout.all).index
        return self.head(self.blocks(x_TD, layout, vector_BD)[index], table_VE), words_T[index]


def some_texts(view: View, keep_B: Tensor) -> View:
    """The view of the texts where ``keep_B`` is True."""
    layout = view.layout
    assert layout is not None
    kept = keep_B.tolist()
    rows = keep_B[layout.group]
    lengths = tuple(n for n, keep in zip(layout.lengths, kept, strict=True) if keep)
    part = Layout(lengths, layout.position[rows])
    if layout.maskable is not None:
        counts = tuple(n for n, keep in zip(layout.maskable.lengths, kept, strict=True) if keep)
        part = replace(part, maskable=gather_rows(layout.maskable.flags(layout.total)[rows], counts))
    return replace(view, layout=part, ids=tokens_of(view)[rows])


class DenoSent(nn.Module):
    """Denoising and contrast of sentences: the words of the target view are restored from the vector of the first.

    Args:
        noise: dropout of the word embeddings that the decoder reads, in [0, 1); 0.825 in the paper.
        denoise: weight of the restoring loss; 7 in the paper.
        contrast: weight of the contrast between two views, 0 = restoring alone; 5 in the paper.
        temperature: of the contrast, above 0; 0.05 in the paper.
        restore: share of the texts that are restored in a step, drawn anew each time, in (0, 1]; 1 in the paper.
        depth: blocks of the decoder; 16 in the paper.
        heads: attention heads of the decoder; 0 = one for each 64 features.
        dropout: inside the decoder, in [0, 1).
    """

    def __init__(
        self,
        encoder: Any,
        *,
        noise: float = 0.825,
        denoise: float = 7.0,
        contrast: float = 5.0,
        temperature: float = 0.05,
        restore: float = 1.0,
        depth: int = 2,
        heads: int = 0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature, denoise=denoise, restore=restore)
        within(0, 1, restore=restore)
        at_least(0, contrast=contrast)
        below_one(noise=noise)
        self.needs = Needs(
            views={"global": 2 if contrast else 1, "target": 1},
            uses=("global",),
            vocabulary=1,
            batch=2 if contrast else 1,
            couples=contrast > 0,
        )
        self.denoise, self.contrast, self.temperature = denoise, contrast, temperature
        self.decoder = Denoiser(table_of(encoder), encoder.dim, depth, heads, noise, dropout)
        self.restore, self.twins = restore, Twins(encoder)
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        pair = role(views, "global")[: 2 if self.contrast else 1]
        self.twins.check(pair)
        vectors = [encoder(view).pooled for view in pair]
        target = role(views, "target")[0]
        view = replace(target, layout=layout_of(encoder, target))
        vector = vectors[0]
        if self.restore < 1:
            keep = self._chosen(view)
            view, vector = some_texts(view, keep), vector[keep]
        logits, words = self.decoder(view, vector, table_of(encoder))
        restored = union_mean(word_loss(logits, words))
        total, parts = self.denoise * restored, {"restored": restored.detach(), "hits": hit_rate(logits, words)}
        if self.contrast:
            contrast = sentence_nce(vectors[0], vectors[1], self.temperature)
            total = total + self.contrast * contrast
            parts["contrast"] = contrast.detach()
        return Loss(total, parts)

    def _chosen(self, view: View) -> Tensor:
        """``bool[B]``, True = the text is restored in this step."""
        words = draw_at(self.clock.step, view.batch.ids).words(1, Use.SAMPLE)[:, 0]
        return uniform(words) < self.restore
