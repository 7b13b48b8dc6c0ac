"""BYOL, https://arxiv.org/abs/2006.07733, and SimSiam, https://arxiv.org/abs/2011.10566: predict the other view's
projection, without negatives.

BYOL predicts the projection of a momentum teacher, SimSiam its own with the gradient stopped. Differs: takes any number
of global views and averages over their ordered pairs (BYOL's sum over the two directions is kept: twice that mean).
Statistics of BatchNorm in the heads span all ranks, as in the papers.

    # B samples, D features
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from unlabeled.contract import Loss, Needs, Progress, View, role
from unlabeled.errors import above, within
from unlabeled.nn.cosine import across
from unlabeled.nn.heads import mlp
from unlabeled.nn.teacher import Teacher, cosine_momentum


class BYOL(nn.Module):
    """Predict a momentum teacher's projection of the other view.

    Args:
        projector: widths of the projection head, hidden and output; (4096, 256) in the paper.
        predictor: hidden width of the prediction head; 4096 in the paper.
        momentum: of the teacher at the start, in [0, 1]; it rises to 1 along a cosine; tau_base = 0.996 in the
            paper.
    """

    cause = "a predictor that learns too slowly, too high a learning rate, or a teacher momentum that is too low"

    def __init__(
        self, encoder: Any, *, projector: tuple[int, ...] = (512, 128), predictor: int = 512, momentum: float = 0.99
    ) -> None:
        super().__init__()
        above(0, predictor=predictor)
        within(0, 1, momentum=momentum)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.momentum = momentum
        self.projector = mlp((encoder.dim, *projector))
        self.predictor = mlp((projector[-1], predictor, projector[-1]))
        self.teacher = Teacher(encoder=encoder, projector=self.projector)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        chosen = role(views, "global")
        predictions = [self.predictor(self.projector(encoder(view).pooled)) for view in chosen]
        similarity = across(predictions, [self.teacher(view) for view in chosen])
        return Loss(2.0 * (2.0 - 2.0 * similarity), {"cosine": similarity.detach()})

    def after_step(self, encoder: Any, progress: Progress) -> None:
        self.teacher.update(cosine_momentum(self.momentum, 1.0, progress), encoder=encoder, projector=self.projector)


class SimSiam(nn.Module):
    """Predict the other view's projection, with the gradient stopped there; the predictor's learning rate is steady.

    Args:
        projector: widths of the projection head, hidden and output; (2048, 2048, 2048) in the paper.
        predictor: hidden width of the prediction head, a bottleneck; 512 in the paper, a quarter of the output.
    """

    cause = "a predictor that learns too slowly, or too high a learning rate"
    steady = ("predictor",)  # it should adapt to the latest representations: section 4.2 of the paper

    def __init__(self, encoder: Any, *, projector: tuple[int, ...] = (512, 512, 512), predictor: int = 128) -> None:
        super().__init__()
        above(0, predictor=predictor)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.projector = mlp((encoder.dim, *projector), last_norm=True, last_affine=False)
        self.predictor = mlp((projector[-1], predictor, projector[-1]))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")]
        similarity = across([self.predictor(z_BD) for z_BD in z], z)
        return Loss(-similarity, {"cosine": similarity.detach()})
