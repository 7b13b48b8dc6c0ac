"""VoCo, https://arxiv.org/abs/2402.17300: predict which base crops a random crop overlaps, by contrasting with them.

``cvpr24`` is the paper: distance d = |y - l| of the overlap y and the logit l = relu(cos), loss -mean log(1 - d), and
the mean |cos| between different base crops of a volume. ``repo2025`` is the authors' later code: -log(1 - d) weighted
by y where crops overlap, the mean of l^2 where they do not, and the mean of relu(cos)^2 between base crops with one
side detached. Both have the authors' head, three layers whose BatchNorm runs over all crops of all volumes at once,
and their logits, the mean of those of the student's crop by the teacher's bases and of the teacher's crop by the
student's bases: without either the projections collapse, and logits say nothing of overlaps.

Differs: the teacher is a copy of the student at the start (the authors' is a second random network); log's argument is
kept at 1e-6 and above in both variants.

    # B volumes, N base crops of each, V crops and bases, D width of the projection
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View, role
from unlabeled.errors import at_least, within
from unlabeled.nn.distributed import BatchNorm, union_mean
from unlabeled.nn.heads import unit
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


def head(widths: Sequence[int]) -> nn.Sequential:
    """The authors' projector: Linear, BatchNorm without scale and shift, ReLU for each hidden width, then Linear."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths[:-1]):
        layers += [nn.Linear(before, after), BatchNorm(after, affine=False), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def _embed(encoder: Any, projector: nn.Module, views: Sequence[View]) -> Tensor:
    """``[V, B, D]`` unit vectors; the projector sees the crops of all views together."""
    pooled_VBE = torch.stack([encoder(view).pooled for view in views])
    return unit(projector(pooled_VBE.flatten(0, 1))).unflatten(0, pooled_VBE.shape[:2])


class VoCo(nn.Module):
    """Volume contrast.

    Args:
        projector: widths of the projection head, hidden and output; (2048, 2048, 2048) in the authors' code.
        variant: cvpr24, the paper's loss, or repo2025, that of the authors' later code.
        regularizer: weight of the base crops' discrepancy, lambda in the paper.
        momentum: of the teacher, in [0, 1]; 0.9 in the paper.
    """

    cause = "base crops that overlap, too low a weight of their discrepancy, or too high a learning rate"

    def __init__(
        self,
        encoder: Any,
        *,
        projector: tuple[int, ...] = (512, 512, 128),
        variant: Literal["cvpr24", "repo2025"] = "cvpr24",
        regularizer: float = 1.0,
        momentum: float = 0.9,
    ) -> None:
        super().__init__()
        within(0, 1, momentum=momentum)
        at_least(0, regularizer=regularizer)
        self.needs = Needs(views={"base": 2, "global": 1}, params=("overlap",), batch=2, couples=True)
        self.variant, self.regularizer, self.momentum = variant, regularizer, momentum
        self.projector = head((encoder.dim, *projector))
        self.teacher = Teacher(encoder=encoder, projector=self.projector)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        bases, crops = role(views, "base"), role(views, "global")
        seen, count = (*bases, *crops), len(bases)
        mine_VBD = _embed(encoder, self.projector, seen)
        with torch.no_grad():
            fixed_VBD = _embed(self.teacher.encoder, self.teacher.projector, seen)
        with full_precision(mine_VBD):
            base_BND, fixed_BND = mine_VBD[:count].transpose(0, 1), fixed_VBD[:count].transpose(0, 1)
            predicted = []
            for view, mine_BD, fixed_BD in zip(crops, mine_VBD[count:], fixed_VBD[count:], strict=True):
                logits_BN = (position_logits(mine_BD, fixed_BND) + position_logits(fixed_BD, base_BND)) / 2
                overlap_BN = full(view.params["overlap"]).to(logits_BN.dtype)
                predicted.append(prediction_loss(logits_BN, overlap_BN, self.variant))
            prediction = union_mean(torch.cat(predicted))
            discrepancy = union_mean(discrepancy_loss(base_BND, self.variant))
        total = prediction + self.regularizer * discrepancy
        return Loss(total, {"prediction": prediction.detach(), "discrepancy": discrepancy.detach()})

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the teacher to the student."""
        self.teacher.update(self.momentum, encoder=encoder, projector=self.projector)
