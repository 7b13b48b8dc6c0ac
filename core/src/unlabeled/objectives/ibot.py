"""iBOT, https://arxiv.org/abs/2111.07832, and DINOv2's form of it, https://arxiv.org/abs/2304.07193: self-distillation
of samples and of hidden rows.

The teacher sees whole global views. The student sees them masked, and local ones: its sample outputs match the
teacher's of other views, its outputs at hidden rows the teacher's at the same rows of the same view. DINOv2 has heads
of their own for samples and rows, Sinkhorn in place of centers, and KoLeo on the samples' features. Differs: every
global view is masked, by the share that the mask has, where the paper masks half of them by a random share; the
sample's vector is the encoder's pooled one, which may be a mean where there is no class token; prototypes are
normalized where they are used.

    # B samples, K outputs, G global views, V views (the global ones first), H hidden rows of all of them
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View, global_first
from unlabeled.errors import above, at_least, within
from unlabeled.nn.clock import Clock
from unlabeled.nn.distillation import Center, Head, cross_view_entropy, entropy, teacher_probabilities
from unlabeled.nn.heads import unit
from unlabeled.nn.precision import full_precision
from unlabeled.nn.prototypes import sinkhorn
from unlabeled.nn.rows import target_rows
from unlabeled.nn.spread import koleo
from unlabeled.nn.teacher import Teacher, cosine_momentum


def row_loss(student_HK: Tensor, target_HK: Tensor, weight_H: Tensor, temperature: float) -> Tensor:
    """Equation 2: the sum over hidden rows of weight times cross-entropy.

    >>> row_loss(torch.zeros(2, 4), torch.full((2, 4), 0.25), torch.tensor([0.5, 0.5]), 1.0)
    tensor(1.3863)
    """
    entropies = -(target_HK * F.log_softmax(student_HK / temperature, dim=1)).sum(1)
    return (weight_H * entropies).sum()


def row_weights(views: Sequence[View]) -> Tensor:
    """``[H]``: each sample of each masked view counts once, whatever it hides: 1 / (rows it hides * B * views)."""
    masked = [view for view in views if view.targets]
    shares = []
    for view in masked:
        counts = [sum(rows.lengths[b] for rows in view.targets) for b in range(len(view.targets[0].lengths))]
        for rows in view.targets:
            shares += [
                1 / (count * len(counts) * len(masked)) for count, n in zip(counts, rows.lengths) for _ in range(n)
            ]
    return torch.tensor(shares)


class IBOT(nn.Module):
    """Self-distillation with an online tokenizer.

    Args:
        hidden: width of the heads' two hidden layers.
        bottleneck: width of the normalized layer before the prototypes.
        prototypes: number of outputs, K; 8192 in iBOT, 65536 in DINOv2.
        norm: after each hidden layer of a head; batch for short runs.
        shared: whether samples and rows have one head (iBOT), or each its own (DINOv2).
        centering: mean, a running center (iBOT); or sinkhorn (DINOv2).
        temperature: divides the student's output.
        teacher_temperature: divides the teacher's output of samples after the warm-up.
        row_temperature: divides the teacher's output of rows after the warm-up.
        warmup_temperature: both at the start of training.
        warmup: share of training over which they go from the one to the other, 0 to 1.
        center_momentum: of the running centers, 0 to 1.
        rows: weight of the loss at hidden rows, at least 0.
        koleo: weight of KoLeo on the student's features of samples, at least 0; 0.1 in DINOv2, 0 in iBOT.
        momentum: of the teacher at the start; it rises to 1 along a cosine; 0.996 and 0.992.
        freeze_last: share of training in which the prototypes stand still, 0 to 1.
    """

    cause = "a teacher temperature or centering that lets one prototype win, or too high a learning rate"

    def __init__(
        self,
        encoder: Any,
        *,
        hidden: int = 2048,
        bottleneck: int = 256,
        prototypes: int = 8192,
        norm: Literal["none", "batch"] = "none",
        shared: bool = True,
        centering: Literal["mean", "sinkhorn"] = "mean",
        temperature: float = 0.1,
        teacher_temperature: float = 0.07,
        row_temperature: float = 0.07,
        warmup_temperature: float = 0.04,
        warmup: float = 0.3,
        center_momentum: float = 0.9,
        rows: float = 1.0,
        koleo: float = 0.0,
        momentum: float = 0.996,
        freeze_last: float = 0.01,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature, teacher_temperature=teacher_temperature, row_temperature=row_temperature)
        above(0, warmup_temperature=warmup_temperature)
        above(1, prototypes=prototypes)
        at_least(0, rows=rows, koleo=koleo)
        within(0, 1, warmup=warmup, center_momentum=center_momentum, momentum=momentum, freeze_last=freeze_last)
        couples = norm == "batch" or centering == "sinkhorn" or koleo > 0
        needed: Any = frozenset({"tokens", "mask"})
        self.needs = Needs(
            views={"global": 2}, uses=("local",), hidden=True, encoder=needed, batch=1 + couples, couples=couples
        )
        self.temperature, self.warmup_temperature, self.warmup = temperature, warmup_temperature, warmup
        self.teacher_temperature, self.row_temperature = teacher_temperature, row_temperature
        self.centering, self.rows, self.koleo = centering, rows, koleo
        self.momentum, self.freeze_last = momentum, freeze_last
        self.head = Head(encoder.dim, hidden, bottleneck, prototypes, norm)
        heads: dict[str, Any] = {"head": self.head}
        if not shared:
            heads["row_head"] = self.row_head = Head(encoder.dim, hidden, bottleneck, prototypes, norm)
        self.names = tuple(heads)
        self.teacher = Teacher(encoder=encoder, **heads)
        self.center, self.row_center = Center(prototypes, center_momentum), Center(prototypes, center_momentum)
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        ordered = global_first(views)
        seen = [view for view in ordered if view.role == "global"]
        learn = self.clock.since(self.freeze_last)
        target, row_target = self._targets(seen, learn)
        outputs = [encoder(view, hide="mask") for view in ordered]
        pooled = torch.cat([found.pooled for found in outputs])
        student = self.head(pooled, learn).unflatten(0, (len(ordered), -1))
        tokens = [f.tokens[target_rows(view)] for f, view in zip(outputs, ordered, strict=True) if view.targets]
        student_rows = self._row_head(self)(torch.cat(tokens), learn)
        with full_precision(student):
            sample = cross_view_entropy(student, target, self.temperature)
            weight = row_weights(seen).to(student.device, non_blocking=True)
            row = row_loss(student_rows, row_target, weight, self.temperature)
            spread = self._spread([found.pooled for found in outputs[: len(seen)]])
            total = sample + self.rows * row + self.koleo * spread
        parts = {"samples": sample, "rows": row, "teacher_entropy": entropy(target)}
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    def _row_head(self, of: Any) -> Any:
        return of.get_submodule(self.names[-1])

    def _spread(self, pooled: Sequence[Tensor]) -> Tensor:
        if not self.koleo:
            return pooled[0].new_zeros(())
        return torch.stack([koleo(unit(x_BD)) for x_BD in pooled]).mean()

    @torch.no_grad()
    def _targets(self, seen: Sequence[View], learn: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's distributions of samples ``[G, B, K]`` and of hidden rows ``[H, K]``."""
        outputs = [self.teacher.encoder(view.clean()) for view in seen]
        samples = self.teacher.head(torch.cat([found.pooled for found in outputs]), learn)
        tokens = [f.tokens[target_rows(view)] for f, view in zip(outputs, seen, strict=True) if view.targets]
        rows = self._row_head(self.teacher)(torch.cat(tokens), learn)
        start, warm = self.warmup_temperature, self.warmup
        target = self._sharpened(samples, self.center, self.clock.ramp(start, self.teacher_temperature, warm))
        row_target = self._sharpened(rows, self.row_center, self.clock.ramp(start, self.row_temperature, warm))
        return target.unflatten(0, (len(seen), -1)), row_target

    def _sharpened(self, output_NK: Tensor, center: Center, temperature: Tensor) -> Tensor:
        with full_precision(output_NK):
            if self.centering == "mean":
                return teacher_probabilities(output_NK.float(), center(output_NK), temperature)
            return sinkhorn(output_NK / temperature, epsilon=1.0) if len(output_NK) else output_NK.float()

    @property
    def projector(self) -> nn.Module:
        """What the collapse watch looks at: the head up to its bottleneck."""
        return self.head.layers

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the centers to this step's outputs, and the teacher to the student."""
        self.center.step()
        self.row_center.step()
        heads = {name: self.get_submodule(name) for name in self.names}
        self.teacher.update(cosine_momentum(self.momentum, 1.0, progress), encoder=encoder, **heads)
