"""URLBERT, https://arxiv.org/abs/2402.11495: masked words, a contrast with a disturbed pass, adversarial training.

NT-Xent is between a clean pass and one with adversarially disturbed word embeddings; virtual adversarial training
(https://arxiv.org/abs/1704.03976) holds the head's softmax of both passes together, by KL divergence both ways. Neither
pass has masked words. Differs: it is held at the rows that the mask chose for the third pass; the disturbance of the
contrast is the same as that of the adversarial loss; all is one step of one optimizer.

    # T packed rows, H masked rows, V words, D features, E of the word embeddings
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.draw import mix64
from unlabeled.errors import above, at_least
from unlabeled.nn.chance import row_words, uniform
from unlabeled.nn.clock import Clock
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled.nn.rows import target_rows
from unlabeled_text.ops.contrast import contrast_of
from unlabeled_text.ops.purposes import Use
from unlabeled_text.ops.vocabulary import VocabularyHead, layout_of, mlm_rows, table_of, word_loss


def divergence(disturbed_HV: Tensor, target_HV: Tensor) -> Tensor:
    """KL divergence of each row's softmax from that of ``target_HV``: ``[H]``."""
    target = full(target_HV).log_softmax(-1)
    return F.kl_div(full(disturbed_HV).log_softmax(-1), target, reduction="none", log_target=True).sum(-1)


def both_ways(a_HV: Tensor, b_HV: Tensor) -> Tensor:
    """KL divergence of each row's softmax from the other's, and back: ``[H]``."""
    return divergence(a_HV, b_HV) + divergence(b_HV, a_HV)


def directions(words_T: Tensor, width: int) -> Tensor:
    """``[T, E]``: a random direction of length 1 for each row, by its random word."""
    keys_TE = mix64(words_T[:, None] + torch.arange(width, device=words_T.device))
    return F.normalize(uniform(keys_TE) - 0.5, dim=1)


class URLBERT(nn.Module):
    """Masked words, NT-Xent with an adversarially disturbed pass, virtual adversarial training.

    Args:
        contrast: weight of the contrast, at least 0.
        adversarial: weight of the adversarial loss, at least 0; 10 in the paper.
        temperature: of the contrast, above 0; tau in the paper, 0.1.
        radius: length of the disturbance of each word embedding, above 0; epsilon.
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
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        view = role(views, "global")[0]
        view = replace(view, layout=layout_of(encoder, view))
        logits_HV, words_H = mlm_rows(encoder, self.head, view)
        words = union_mean(word_loss(logits_HV, words_H))
        index_H, whole = target_rows(view), view.clean()
        assert whole.layout is not None
        clean = encoder(whole)
        target_HV = self.head(clean.tokens[index_H], table_of(encoder)).detach()
        noise_TE = self.worst(encoder, whole, index_H, target_HV)
        disturbed = encoder.from_embeddings(encoder.embed(whole) + noise_TE, whole.layout)
        moved_HV = self.head(disturbed.tokens[index_H], table_of(encoder))
        adversarial = union_mean(both_ways(moved_HV, target_HV))
        contrast = contrast_of(clean.pooled, disturbed.pooled, self.temperature, "nt_xent")
        total = words + self.contrast * contrast + self.adversarial * adversarial
        parts = {"words": words, "contrast": contrast, "adversarial": adversarial}
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    def worst(self, encoder: Any, view: View, index_H: Tensor, logits_HV: Tensor) -> Tensor:
        """``[T, E]``: the disturbance, ``radius`` at each row, that moves the softmax most, to first order."""
        layout = view.layout
        assert layout is not None
        x_TE = encoder.embed(view).detach()
        words = row_words(view, layout, self.clock.step, Use.PERTURB)
        noise = (directions(words, x_TE.shape[1]).to(x_TE.dtype) * self.probe).requires_grad_()
        with torch.enable_grad():
            moved = encoder.from_embeddings(x_TE + noise, layout).tokens[index_H]
            loss = divergence(self.head(moved, table_of(encoder).detach()), logits_HV.detach()).sum()
            (gradient,) = torch.autograd.grad(loss, noise)
        return F.normalize(full(gradient), dim=1).to(x_TE.dtype) * self.radius
