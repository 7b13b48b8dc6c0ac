"""Contrast and masked language modeling together: DeCLUTR, and SPACE-2 without labels.

- DeCLUTR, https://arxiv.org/abs/2006.03659: an anchor span attracts spans of the same document; words of the anchor
  are masked, and the same pass serves both losses.
- SPACE-2, https://arxiv.org/abs/2209.06638, its loss on unlabeled dialogs: two dropout passes attract each other, and a
  third pass with masked words predicts them.

Differs: DeCLUTR's positives are one span a document and view, not an average of several; one batch is one document a
sample, so that no negative comes from the anchor's own document.

    # B samples of all ranks, b of this rank, H masked rows, V words, D features
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above, at_least
from unlabeled.nn.distributed import union_mean
from unlabeled_text.ops.contrast import Twins, contrast_of, projector
from unlabeled_text.ops.vocabulary import VocabularyHead, head_rows, hit_rate, mlm_rows, table_of, word_loss


class ContrastMLM(nn.Module):
    """Masked words and a contrast between two views.

    Args:
        contrast: weight of the contrast beside the masked words, at least 0.
        temperature: of the contrast, above 0; tau, 0.05 in DeCLUTR and SPACE-2.
        kind: nt_xent = vectors of both views of other texts are negatives (DeCLUTR); one_way = of second views alone.
        passes: shared = the contrast reads the masked pass (DeCLUTR); apart = passes of its own, unmasked (SPACE-2).
        head: of the contrast: none = the pooled vector, tanh = a Linear and tanh that training alone uses.
    """

    def __init__(
        self,
        encoder: Any,
        *,
        contrast: float = 1.0,
        temperature: float = 0.05,
        kind: Literal["nt_xent", "one_way"] = "nt_xent",
        passes: Literal["shared", "apart"] = "shared",
        head: Literal["none", "tanh"] = "none",
    ) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, contrast=contrast)
        self.needs = Needs(
            views={"global": 2},
            hidden=True,
            vocabulary=1,
            encoder=frozenset({"tokens", "mask"}),
            batch=2,
            couples=True,
        )
        self.contrast, self.temperature, self.kind, self.passes = contrast, temperature, kind, passes
        self.head = VocabularyHead(encoder.dim, table_of(encoder))
        self.project = projector(head, encoder.dim)
        self.twins = Twins(encoder)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        pair = role(views, "global")[:2]
        if self.passes == "apart":
            clean = [view.clean() for view in pair]
            self.twins.check(clean)
            vectors = [encoder(view).pooled for view in clean]
            rows = [mlm_rows(encoder, self.head, pair[0])]
        else:
            features = [encoder(view) for view in pair]
            vectors = [found.pooled for found in features]
            rows = [head_rows(f.tokens, encoder, self.head, view) for f, view in zip(features, pair, strict=True)]
        logits, masked = zip(*rows, strict=True)
        logits_HV, words_H = torch.cat(logits), torch.cat(masked)
        words = union_mean(word_loss(logits_HV, words_H))
        contrast = contrast_of(self.project(vectors[0]), self.project(vectors[1]), self.temperature, self.kind)
        parts = {"words": words.detach(), "contrast": contrast.detach(), "hits": hit_rate(logits_HV, words_H)}
        return Loss(words + self.contrast * contrast, parts)
