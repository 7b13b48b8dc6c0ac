"""DINO, https://arxiv.org/abs/2104.14294: match a momentum teacher's sharpened, centered output across crops.

The teacher sees the global views alone, the student all of them. Differs: the head's last layer is normalized where it
is used (weight norm with its gain fixed at 1); freezing it early multiplies its gradient by 0 rather than removing it;
the temperature warms up by share of training, not by epoch; the center starts at the first step's mean and not at 0,
where all samples' common direction is the first thing that the student learns.

    # B samples, K outputs, G global views (the teacher's), V views (the student's; the global ones first)
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View, global_first
from unlabeled.errors import above, within
from unlabeled.nn.clock import Clock
from unlabeled.nn.distillation import Head, cross_view_entropy, entropy, teacher_probabilities
from unlabeled.nn.distributed import mean_over_ranks
from unlabeled.nn.precision import full_precision
from unlabeled.nn.teacher import Teacher, cosine_momentum


def dino_loss(
    student_VBK: Tensor,
    teacher_GBK: Tensor,
    center_K: Tensor,
    *,
    student_temperature: float = 0.1,
    teacher_temperature: Tensor | float = 0.04,
) -> Tensor:
    """Equation 2 of the paper over all pairs of different views; ``student[:G]`` are the teacher's views."""
    target = teacher_probabilities(teacher_GBK, center_K, teacher_temperature)
    return cross_view_entropy(student_VBK, target, student_temperature)


class DINO(nn.Module):
    """Self-distillation with no labels.

    Args:
        hidden: width of the head's two hidden layers.
        bottleneck: width of the normalized layer before the prototypes.
        prototypes: number of outputs, K.
        norm: after each hidden layer of the head; batch for short runs, which starts with outputs that tell samples
            apart (the authors' use_bn_in_head), none as in the paper.
        temperature: divides the student's output, tau_s.
        teacher_temperature: divides the teacher's output after the warm-up, tau_t.
        warmup_temperature: tau_t at the start of training.
        warmup: share of training over which tau_t goes from the one to the other, 0 to 1.
        center_momentum: of the running mean of the teacher's output, m, 0 to 1.
        momentum: of the teacher at the start, lambda; it rises to 1 along a cosine.
        freeze_last: share of training in which the prototypes stand still, 0 to 1 (the paper: one epoch).
    """

    cause = "a teacher temperature or centering that lets one prototype win, or too high a learning rate"
    center: Tensor

    def __init__(
        self,
        encoder: Any,
        *,
        hidden: int = 2048,
        bottleneck: int = 256,
        prototypes: int = 65536,
        norm: Literal["none", "batch"] = "none",
        temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        warmup_temperature: float = 0.04,
        warmup: float = 0.3,
        center_momentum: float = 0.9,
        momentum: float = 0.996,
        freeze_last: float = 0.01,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature, teacher_temperature=teacher_temperature)
        above(0, warmup_temperature=warmup_temperature)
        above(1, prototypes=prototypes)
        within(0, 1, warmup=warmup, center_momentum=center_momentum, momentum=momentum, freeze_last=freeze_last)
        self.needs = Needs(views={"global": 2}, uses=("local",), couples=norm == "batch")
        self.temperature, self.teacher_temperature = temperature, teacher_temperature
        self.warmup_temperature, self.warmup = warmup_temperature, warmup
        self.center_momentum, self.momentum, self.freeze_last = center_momentum, momentum, freeze_last
        self.head = Head(encoder.dim, hidden, bottleneck, prototypes, norm)
        self.teacher = Teacher(encoder=encoder, head=self.head)
        self.register_buffer("center", torch.zeros(prototypes))
        self.clock = Clock()
        self._centered = False  # whether this process has seen a step end: on the host, so that all ranks agree
        self._outputs: list[Tensor] = []  # mean teacher output of each forward pass of this step, of this rank

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        ordered = global_first(views)
        learn = self.clock.since(self.freeze_last)
        with torch.no_grad():
            seen = [view for view in ordered if view.role == "global"]
            pooled = torch.cat([self.teacher.encoder(view).pooled for view in seen])
            teacher = self.teacher.head(pooled, learn).unflatten(0, (len(seen), -1))
            mean = teacher.mean((0, 1))
            temperature = self.clock.ramp(self.warmup_temperature, self.teacher_temperature, self.warmup)
            target = teacher_probabilities(teacher, self._center(mean), temperature)
            spread = entropy(target)
        pooled = torch.cat([encoder(view).pooled for view in ordered])
        student = self.head(pooled, learn).unflatten(0, (len(ordered), -1))
        with full_precision(student):
            total = cross_view_entropy(student, target, self.temperature)
        if self.training:
            self._outputs.append(mean)
        return Loss(total, {"teacher_entropy": spread, "kl": total.detach() - spread})

    @property
    def projector(self) -> nn.Module:
        """What the collapse watch looks at: the head up to its bottleneck."""
        return self.head.layers

    def _center(self, mean_K: Tensor) -> Tensor:
        """The center; in the first step this batch's mean, which ranks agree on then alone (and once on a resume)."""
        if self._centered:
            return self.center
        return torch.where(self.clock.fraction > 0, self.center, mean_over_ranks(mean_K))

    @torch.no_grad()
    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the center to this step's teacher outputs, and the teacher to the student."""
        if self._outputs:
            mean = mean_over_ranks(torch.stack(self._outputs).mean(0)).to(self.center.dtype)
            moved = self.center.lerp(mean, 1.0 - self.center_momentum)
            self.center.copy_(torch.where(self.clock.fraction > 0, moved, mean))
            self._outputs = []
        self._centered = progress.step > 0
        self.teacher.update(cosine_momentum(self.momentum, 1.0, progress), encoder=encoder, head=self.head)
