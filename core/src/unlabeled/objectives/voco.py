"""VoCo, https://arxiv.org/abs/2402.17300: predict which base crops a random crop overlaps, by contrasting with them.

``cvpr24`` is the paper: distance d = |y - l| of the overlap y and the logit l = relu(cos), loss -mean log(1 - d), and
the mean |cos| between different base crops of a volume. ``repo2025`` is the authors' later code: -log(1 - d) weighted
by y where crops overlap, the mean of l^2 where they do not, and the mean of relu(cos)^2 between base crops with one
side detached. The published copies differ in just these terms, so both are here by name.

Differs: the teacher that embeds base crops for the logits is a copy of the student at the start (the authors' is a
second random network); log's argument is kept at 1e-6 and above in both variants.

    # B volumes, N base crops of each, D width of the projection
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View, role
from unlabeled.errors import at_least, within
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.precision import full, full_precision
from unlabeled.nn.teacher import Teacher

Variant = Literal["cvpr24", "repo2025"]
EPS = 1e-6


def position_logits(crop_BD: Tensor, base_BND: Tensor) -> Tensor:
    """``relu(cos)`` of unit vectors of a crop and of the base crops of its volume: ``[B, N]``."""
    return torch.einsum("bd,bnd->bn", crop_BD, base_BND).relu()


def prediction_loss(logits_BN: Tensor, overlap_BN: Tensor, variant: Variant = "cvpr24") -> Tensor:
    """How far logits are from overlaps, for each sample: ``[B]``."""
    missed = ((1 - (overlap_BN - logits_BN).abs()).clamp(min=EPS)).log().neg()
    if variant == "cvpr24":
        return missed.mean(1)
    apart = (overlap_BN == 0).to(logits_BN.dtype)
    positive = (overlap_BN * missed).sum(1) / overlap_BN.sum(1).clamp(min=EPS)
    negative = (apart * logits_BN.square()).sum(1) / apart.sum(1).clamp(min=1)
    return positive + negative


def discrepancy_loss(base_BND: Tensor, variant: Variant = "cvpr24") -> Tensor:
    """How alike the base crops of a volume are, over all pairs of different ones, for each sample: ``[B]``."""
    count = base_BND.shape[1]
    other = base_BND if variant == "cvpr24" else base_BND.detach()
    cosine_BNN = base_BND @ other.transpose(1, 2)
    alike = cosine_BNN.abs() if variant == "cvpr24" else cosine_BNN.relu().square()
    different = ~torch.eye(count, dtype=torch.bool, device=base_BND.device)
    return (alike * different).sum((1, 2)) / (count * (count - 1))


class VoCo(nn.Module):
    """Volume contrast.

    Args:
        projector: widths of the projection head, hidden and output; (2048, 2048) in the authors' code.
        variant: cvpr24, the paper's loss, or repo2025, that of the authors' later code.
        regularizer: weight of the base crops' discrepancy, lambda in the paper.
        momentum: of the teacher that embeds base crops, in [0, 1]; 0.9 in the paper.
    """

    cause = "base crops that overlap, too low a weight of their discrepancy, or too high a learning rate"

    def __init__(
        self,
        encoder: Any,
        *,
        projector: tuple[int, ...] = (512, 128),
        variant: Literal["cvpr24", "repo2025"] = "cvpr24",
        regularizer: float = 1.0,
        momentum: float = 0.9,
    ) -> None:
        super().__init__()
        within(0, 1, momentum=momentum)
        at_least(0, regularizer=regularizer)
        self.needs = Needs(views={"base": 2, "global": 1}, params=("overlap",))
        self.variant, self.regularizer, self.momentum = variant, regularizer, momentum
        self.projector = mlp((encoder.dim, *projector), norm="layer")
        self.teacher = Teacher(encoder=encoder, projector=self.projector)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        bases = role(views, "base")
        crops = role(views, "global")
        student = [self.projector(encoder(view).pooled) for view in (*bases, *crops)]
        teacher = [self.teacher(view) for view in bases]
        with full_precision(student[0]):
            z = [unit(x) for x in student]
            base_BND, fixed_BND = torch.stack(z[: len(bases)], 1), torch.stack([unit(x) for x in teacher], 1)
            predicted = []
            for crop_BD, view in zip(z[len(bases) :], crops, strict=True):
                overlap = full(view.params["overlap"]).to(crop_BD.dtype)
                predicted.append(prediction_loss(position_logits(crop_BD, fixed_BND), overlap, self.variant))
            prediction = union_mean(torch.cat(predicted))
            discrepancy = union_mean(discrepancy_loss(base_BND, self.variant))
        total = prediction + self.regularizer * discrepancy
        return Loss(total, {"prediction": prediction.detach(), "discrepancy": discrepancy.detach()})

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the teacher to the student."""
        self.teacher.update(self.momentum, encoder=encoder, projector=self.projector)
