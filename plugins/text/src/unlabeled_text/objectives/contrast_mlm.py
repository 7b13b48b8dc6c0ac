"""Contrast and masked language modeling together: DeCLUTR, SPACE-2 without labels, URLBERT.

- DeCLUTR, https://arxiv.org/abs/2006.03659: an anchor span attracts spans of the same document; words of the anchor
  are masked, and the same pass serves both losses.
- SPACE-2, https://arxiv.org/abs/2209.06638, its loss on unlabeled dialogs: two dropout passes attract each other, and a
  third pass with masked words predicts them.
- URLBERT, https://arxiv.org/abs/2402.11495: the same with NT-Xent, one of whose passes has adversarially disturbed word
  embeddings; and virtual adversarial training (https://arxiv.org/abs/1704.03976), here on the head's softmax at the
  masked rows.

Differs: DeCLUTR's positives are one span a document and view, not an average of several; one batch is one document a
sample, so that no negative comes from the anchor's own document. URLBERT's disturbance of the second pass is the same
as that of its adversarial loss.

    # B samples, T packed rows, H masked rows, V words, D features, E of the word embeddings
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout, Loss, Needs, Progress, View
from unlabeled.errors import above, at_least
from unlabeled.nn.chance import row_words, uniform
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.heads import unit
from unlabeled.nn.infonce import nt_xent
from unlabeled.nn.precision import full, full_precision
from unlabeled.nn.rows import target_rows
from unlabeled_text.objectives.mlm import head_rows, mlm_rows
from unlabeled_text.ops.contrast import Twins, globals_of, projector, sentence_nce
from unlabeled_text.ops.purposes import Use
from unlabeled_text.ops.vocabulary import (
    VocabularyHead,
    hit_rate,
    layout_of,
    table_of,
    word_loss,
)


def contrast_of(first_bD: Tensor, second_bD: Tensor, temperature: float, kind: str) -> Tensor:
    """``nt_xent``: all other vectors are negatives; ``one_way``: the second views of other texts are."""
    if kind == "one_way":
        return sentence_nce(first_bD, second_bD, temperature)
    with full_precision(first_bD):
        return nt_xent(unit(first_bD), unit(second_bD), temperature)


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
        pair = globals_of(views)[:2]
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


# ---------------------------------------------------------------------------------------------- URLBERT


def unit_groups(x_TE: Tensor, layout: Layout) -> Tensor:
    """``x_TE`` scaled so that the rows of each group together have length 1; a group of zeros stays zero."""
    square = layout.mean(full(x_TE).square().sum(1, keepdim=True)) * torch.tensor(
        layout.lengths, device=x_TE.device, dtype=torch.float32
    ).clamp(min=1)[:, None].to(full(x_TE).dtype)
    return x_TE * square.clamp(min=1e-24).rsqrt()[layout.group].to(x_TE.dtype)


def divergence(disturbed_HV: Tensor, target_HV: Tensor) -> Tensor:
    """KL divergence of each row's softmax from that of ``target_HV``: ``[H]``."""
    target = full(target_HV).log_softmax(-1)
    return F.kl_div(full(disturbed_HV).log_softmax(-1), target, reduction="none", log_target=True).sum(-1)


class URLBERT(nn.Module):
    """Masked words, NT-Xent with an adversarially disturbed pass, virtual adversarial training.

    Args:
        contrast: weight of the contrast, at least 0.
        adversarial: weight of the adversarial loss, at least 0; 10 in the paper.
        temperature: of the contrast, above 0; tau in the paper, 0.1.
        radius: length of the disturbance of a text's word embeddings, above 0; epsilon.
        probe: length of the random disturbance that the worst direction is looked for from, above 0; xi.
    """

    def __init__(
        self,
        encoder: Any,
        *,
        contrast: float = 1.0,
        adversarial: float = 10.0,
        temperature: float = 0.1,
        radius: float = 1.0,
        probe: float = 0.1,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature, radius=radius, probe=probe)
        at_least(0, contrast=contrast, adversarial=adversarial)
        for name in ("embed", "from_embeddings"):
            if not hasattr(encoder, name):
                raise ValueError(f"urlbert disturbs word embeddings, and this encoder has no {name}()")
        self.needs = Needs(
            views={"global": 1}, hidden=True, vocabulary=1, encoder=frozenset({"tokens", "mask"}), batch=2, couples=True
        )
        self.contrast, self.adversarial, self.temperature = contrast, adversarial, temperature
        self.radius, self.probe = radius, probe
        self.head = VocabularyHead(encoder.dim, table_of(encoder))
        self.step: Tensor
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        view = globals_of(views)[0]
        view = replace(view, layout=layout_of(encoder, view))
        logits_HV, words_H = mlm_rows(encoder, self.head, view)
        words = union_mean(word_loss(logits_HV, words_H))
        x_TE, noise_TE = encoder.embed(view), self.worst(encoder, view, logits_HV)
        assert view.layout is not None
        disturbed = encoder.from_embeddings(x_TE + noise_TE, view.layout)
        moved_HV = self.head(disturbed.tokens[target_rows(view)], table_of(encoder))
        adversarial = union_mean(divergence(moved_HV, logits_HV.detach()))
        clean = encoder(view.clean()).pooled
        contrast = contrast_of(clean, disturbed.pooled, self.temperature, "nt_xent")
        total = words + self.contrast * contrast + self.adversarial * adversarial
        parts = {"words": words, "contrast": contrast, "adversarial": adversarial}
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    def worst(self, encoder: Any, view: View, logits_HV: Tensor) -> Tensor:
        """``[T, E]``: the disturbance of length ``radius`` that moves the softmax most, to first order."""
        layout = view.layout
        assert layout is not None
        x_TE = encoder.embed(view).detach()
        columns = torch.arange(x_TE.shape[1], device=x_TE.device)
        words = row_words(view, layout, self.step, Use.PERTURB)
        noise = uniform(words[:, None] * (2 * columns + 1) + columns).to(x_TE.dtype) - 0.5
        noise = (unit_groups(noise, layout) * self.probe).requires_grad_()
        with torch.enable_grad():
            moved = encoder.from_embeddings(x_TE + noise, layout).tokens[target_rows(view)]
            loss = divergence(self.head(moved, table_of(encoder).detach()), logits_HV.detach()).sum()
            (gradient,) = torch.autograd.grad(loss, noise)
        return unit_groups(gradient, layout).detach() * self.radius

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """The next step starts from another random direction."""
        self.step.fill_(progress.step)
