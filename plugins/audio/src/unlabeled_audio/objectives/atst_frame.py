"""ATST-Frame, https://arxiv.org/abs/2306.04186: predict a momentum teacher's frames of the other view, where hidden.

Two views of the same segment, altered so that frame t stays frame t; the student sees each with frames hidden, the
teacher all of them; at hidden frames the student's prediction meets the teacher's projection of the other view, by
cosine distance, in both directions. Differs: BatchNorm in the heads spans the hidden frames of all ranks.

``ATSTBoth`` adds what an ATST-Clip has learned (the paper's section on combining both by distillation): the student's
clip vector, too, meets the vector that a frozen ATST-Clip gives for the other view. Differs: that is done here while
pre-training and without labels, where the paper distils one fine-tuned model's outputs into the other.

    # B clips, T packed frames, H hidden frames, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View
from unlabeled.errors import above, at_least, within
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.recorder import Recorder
from unlabeled.nn.rows import target_rows
from unlabeled.nn.spread import deviation
from unlabeled.nn.teacher import Frozen, Teacher, cosine_momentum


def cosine_distance(predicted_HD: Tensor, target_HD: Tensor) -> Tensor:
    """2 - 2 cos of each row: ``[H]``; no gradient flows into the target."""
    return 2 - 2 * (unit(predicted_HD) * unit(target_HD.detach())).sum(1)


class ATSTFrame(nn.Module):
    """Masked prediction of a teacher's frames across two frame-aligned views.

    Args:
        projector: widths of the projection head, hidden and output; (2048, 256) in the authors' code.
        predictor: hidden width of the prediction head.
        momentum: of the teacher at the start; it rises to 1 along a cosine. 0.9996 in the paper.
    """

    cause = "a teacher momentum that is too low, a predictor that learns too slowly, or too high a learning rate"

    def __init__(
        self, encoder: Any, *, projector: tuple[int, ...] = (512, 128), predictor: int = 512, momentum: float = 0.99
    ) -> None:
        super().__init__()
        above(0, predictor=predictor)
        within(0, 1, momentum=momentum)
        self.needs = Needs(
            views={"global": 2}, hidden=True, encoder=frozenset({"tokens", "mask"}), batch=2, couples=True
        )
        self.momentum = momentum
        self.projector = mlp((encoder.dim, *projector))
        self.predictor = mlp((projector[-1], predictor, projector[-1]))
        self.teacher = Teacher(encoder=encoder, projector=self.projector)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        pair = views[:2]
        _refuse_unaligned(pair)
        index = [target_rows(view) for view in pair]
        tokens = [encoder(view, hide="mask").tokens[i] for view, i in zip(pair, index, strict=True)]
        guesses = [self.predictor(self.projector(x)) for x in tokens]
        with torch.no_grad():
            frames = [self.teacher.encoder(view.clean()).tokens for view in reversed(pair)]
            targets = [self.teacher.projector(x[i]) for x, i in zip(frames, index, strict=True)]
        loss = union_mean(torch.cat([cosine_distance(p, t) for p, t in zip(guesses, targets, strict=True)]))
        spread = deviation(torch.cat([unit(t) for t in targets])) * targets[0].shape[1] ** 0.5
        return Loss(loss, {"target_std": spread})

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the teacher to the student."""
        self.teacher.update(cosine_momentum(self.momentum, 1.0, progress), encoder=encoder, projector=self.projector)


class ATSTBoth(nn.Module):
    """ATST-Frame, and the clip vectors of a trained ATST-Clip.

    Args:
        run: run folder of recipe atst_clip; empty = the encoder's own start, a weak teacher, for tests.
        clip: weight of the distance to its vectors beside ATST-Frame's.
        projector: widths of the projection head of frames, hidden and output.
        predictor: hidden width of the prediction heads.
        momentum: of ATST-Frame's own teacher at the start; it rises to 1 along a cosine.
    """

    def __init__(
        self,
        encoder: Any,
        frozen: Any = None,
        *,
        run: str = "",
        clip: float = 1.0,
        projector: tuple[int, ...] = (512, 128),
        predictor: int = 512,
        momentum: float = 0.99,
    ) -> None:
        super().__init__()
        at_least(0, clip=clip)
        self.frame = ATSTFrame(encoder, projector=projector, predictor=predictor, momentum=momentum)
        self.needs, self.clip = self.frame.needs, clip
        self.teacher = Frozen(frozen, encoder)
        self.match = mlp((encoder.dim, predictor, self.teacher.encoder.dim), norm="layer")

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        recorder = Recorder(encoder)
        loss = self.frame(recorder, views)
        targets = [self.teacher(view.clean()).pooled for view in reversed(views[:2])]
        pairs = zip(recorder.pooled, targets, strict=True)
        clip = union_mean(torch.cat([cosine_distance(self.match(x), target) for x, target in pairs]))
        return Loss(loss.total + self.clip * clip, {**loss.parts, "frame": loss.total.detach(), "clip": clip.detach()})

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move ATST-Frame's teacher to the student."""
        self.frame.after_step(encoder, progress)


def _refuse_unaligned(pair: Sequence[View]) -> None:
    first, second = (view.layout for view in pair)
    assert first is not None
    assert second is not None
    if first.lengths != second.lengths:
        raise ValueError(
            "the two views differ in their frames: choose views that keep time, such as --views atst_frame"
        )
