"""DirectPred, https://arxiv.org/abs/2102.06810: BYOL whose linear predictor is computed and not learned.

Theory has the predictor's eigenspace align with that of the correlation F of its inputs; it is set to it at once:
W = U diag(sqrt(s) + eps max s) U^T of the moving average F = U diag(s) U^T (section 5). Differs: takes any number of
global views; F spans all ranks and starts at its first value.

    # B samples of all ranks, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View, role
from unlabeled.errors import above, at_least, within
from unlabeled.nn.cosine import across
from unlabeled.nn.distributed import all_reduce, world
from unlabeled.nn.heads import mlp
from unlabeled.nn.precision import full
from unlabeled.nn.teacher import Teacher, cosine_momentum


def predictor_of(correlation_DD: Tensor, eps: float) -> Tensor:
    """U diag(sqrt(s) + eps max s) U^T of a positive semidefinite matrix; on the host, where its solver is.

    >>> predictor_of(torch.diag(torch.tensor([4.0, 1.0])), eps=0.5)
    tensor([[4., 0.],
            [0., 3.]])
    """
    values, vectors = torch.linalg.eigh(correlation_DD.double().cpu())
    values = values.clamp(min=0)
    weight = vectors * (values.sqrt() + eps * values[-1]) @ vectors.T
    return weight.to(correlation_DD)


class DirectPred(nn.Module):
    """Predict a momentum teacher's projection of the other view, by a predictor in closed form.

    Args:
        projector: widths of the projection head, hidden and output.
        momentum: of the teacher at the start, in [0, 1]; it rises to 1 along a cosine.
        average: momentum of the moving average of the correlation, in [0, 1]; rho, 0.3 in the paper.
        eps: how much of the greatest eigenvalue all directions get, at least 0; 0.1 in the paper.
        every: steps between two computations of the predictor, at least 1; 1 and 5 in the paper.
    """

    cause = "too high a learning rate, or a teacher momentum that is too low"
    weight: Tensor
    correlation: Tensor
    seen: Tensor

    def __init__(
        self, encoder: Any, *, projector: tuple[int, ...] = (512, 128), momentum: float = 0.99, average: float = 0.3,
        eps: float = 0.1, every: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        within(0, 1, momentum=momentum, average=average)
        at_least(0, eps=eps)
        above(0, every=every)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.momentum, self.average, self.eps, self.every = momentum, average, eps, every
        self.projector = mlp((encoder.dim, *projector))
        self.teacher = Teacher(encoder=encoder, projector=self.projector)
        self.register_buffer("weight", torch.eye(projector[-1]))
        self.register_buffer("correlation", torch.zeros(projector[-1], projector[-1]))
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool))
        self._inputs: list[Tensor] = []  # correlation of each forward pass of this step, of this rank

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        chosen = role(views, "global")
        z = [full(self.projector(encoder(view).pooled)) for view in chosen]
        weight = self.weight.to(z[0].dtype)
        similarity = across([z_BD @ weight for z_BD in z], [self.teacher(view) for view in chosen])
        if self.training:
            both = torch.cat([z_BD.detach() for z_BD in z])
            self._inputs.append(both.T @ both / len(both))
        return Loss(2.0 - 2.0 * similarity, {"cosine": similarity.detach()})

    def after_step(self, encoder: Any, progress: Progress) -> None:
        if self._inputs:
            new = all_reduce(torch.stack(self._inputs).mean(0)).to(self.correlation.dtype) / world()
            old = torch.where(self.seen, self.correlation, new)
            self.correlation.copy_(old.lerp(new, 1 - self.average))
            self.seen.fill_(True)
            self._inputs.clear()
            if progress.step % self.every == 0:
                self.weight.copy_(predictor_of(self.correlation, self.eps))
        self.teacher.update(cosine_momentum(self.momentum, 1.0, progress), encoder=encoder, projector=self.projector)
