"""BGRL, https://arxiv.org/abs/2102.06514: predict a momentum teacher's representation of the other view's node.

BYOL without a projector: the predictor reads the encoder's output, and the teacher is the encoder alone. Linear in the
number of nodes. Differs: the loss is 2 - 2 cosine averaged over the directions, as the authors' code has up to a
constant and a factor.

    # B samples, D features
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from unlabeled.contract import Loss, Needs, Progress, View, role
from unlabeled.errors import above, within
from unlabeled.nn.cosine import across
from unlabeled.nn.teacher import Teacher, cosine_momentum


class BGRL(nn.Module):
    """Bootstrap node representations from a momentum teacher.

    Args:
        predictor: hidden width of the prediction head; 512 in the paper.
        momentum: of the teacher at the start, in [0, 1]; it rises to 1 along a cosine; tau, 0.99 in the paper.
    """

    cause = "a predictor that learns too slowly, too high a learning rate, or a teacher momentum that is too low"

    def __init__(self, encoder: Any, *, predictor: int = 512, momentum: float = 0.99) -> None:
        super().__init__()
        above(0, predictor=predictor)
        within(0, 1, momentum=momentum)
        self.needs = Needs(views={"global": 2}, batch=2)
        self.momentum = momentum
        self.predictor = nn.Sequential(nn.Linear(encoder.dim, predictor), nn.PReLU(), nn.Linear(predictor, encoder.dim))
        self.teacher = Teacher(encoder=encoder)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        chosen = role(views, "global")
        predictions = [self.predictor(encoder(view).pooled) for view in chosen]
        similarity = across(predictions, [self.teacher(view) for view in chosen])
        return Loss(2.0 - 2.0 * similarity, {"cosine": similarity.detach()})

    def after_step(self, encoder: Any, progress: Progress) -> None:
        self.teacher.update(cosine_momentum(self.momentum, 1.0, progress), encoder=encoder)
