"""E2S2, https://arxiv.org/abs/2205.14912: a sequence-to-sequence model whose encoder has losses of its own.

The source is infilled (the views ``bart``) and then read twice: with some of its tokens shuffled or random (the mask
``scrambled``), and without. The decoder restores the target from both; the encoder predicts the tokens that stood at
the scrambled rows (locally), and the vectors of the two passes of a text find each other (globally). Weights are those
of the authors' code, where sums over scrambled rows are divided by the target's words, as the decoder's are. Differs:
the mean of a text's vector is over its own rows, not over padding.

    # B samples, T packed words of the target, H scrambled rows, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.errors import above, at_least
from unlabeled.nn.distributed import union_mean
from unlabeled_text.decoders.sequence import OwnDecoder, pair_of, restore_rows
from unlabeled_text.ops.contrast import contrast_of
from unlabeled_text.ops.vocabulary import VocabularyHead, head_rows, hit_rate, table_of, word_loss


class E2S2(nn.Module):
    """Sequence-to-sequence restoring with local and global losses at the encoder.

    Args:
        local: weight of the encoder's scrambled words, at least 0.
        contrast: weight of the encoder's contrast, at least 0; global in the paper.
        temperature: of the contrast, above 0.
    """

    def __init__(self, encoder: Any, *, local: float = 0.05, contrast: float = 0.05, temperature: float = 1.0) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, local=local, contrast=contrast)
        self.needs = Needs(
            views={"source": 1, "target": 1},
            hidden=True,
            vocabulary=1,
            encoder=frozenset({"tokens"}),
            batch=2,
            couples=True,
        )
        self.local, self.contrast, self.temperature = local, contrast, temperature
        self.head = VocabularyHead(encoder.dim, table_of(encoder))
        self.decoder = OwnDecoder(encoder)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        source, target = pair_of(views)
        scrambled, infilled = encoder(source), encoder(source.clean())
        rows = [restore_rows(self.decoder, encoder, features, target) for features in (scrambled, infilled)]
        restored, again = (union_mean(word_loss(*row)) for row in rows)
        wrong_H = word_loss(*head_rows(scrambled.tokens, encoder, self.head, source))
        others = wrong_H.new_zeros(
            max(0, len(rows[0][1]) - len(wrong_H))
        )  # so that the mean is over the target's words
        local = union_mean(torch.cat((wrong_H, others)))
        contrast = contrast_of(scrambled.pooled, infilled.pooled, self.temperature, "nt_xent")
        parts = {"restored": restored, "again": again, "local": local, "contrast": contrast, "hits": hit_rate(*rows[0])}
        total = 0.5 * restored + 0.5 * again + self.local * local + self.contrast * contrast
        return Loss(total, {name: part.detach() for name, part in parts.items()})
