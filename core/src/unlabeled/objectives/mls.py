"""MLS, https://arxiv.org/abs/2308.03286: neighbors in a queue as several labels of each sample.

A teacher's features of one view find their nearest entries in a queue of features; these are the labels, of which
several hold, that the projection of the other view is to have among the projections of the same entries, by binary
cross-entropy. Differs: of more than two global views the first two are taken, each in turn; the queues start with
random directions.

    # b samples of this rank, K size of the queues, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View, role
from unlabeled.errors import above, at_least, within
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.precision import full_precision
from unlabeled.nn.queue import Queue
from unlabeled.nn.teacher import Teacher, cosine_momentum


@torch.no_grad()
def pseudo_labels(x_bD: Tensor, queue_KD: Tensor, count: int) -> Tensor:
    """``[b, K]``: 1 at the ``count`` entries that are most like each of these unit vectors, else 0.

    >>> pseudo_labels(torch.tensor([[0.8, 0.6]]), torch.eye(2), 1)
    tensor([[1., 0.]])
    """
    similarity = x_bD @ queue_KD.T
    return torch.zeros_like(similarity).scatter_(1, similarity.topk(count, dim=1).indices, 1.0)


def multi_label_loss(z_bD: Tensor, queue_KD: Tensor, labels_bK: Tensor, temperature: float) -> Tensor:
    """Binary cross-entropy of every entry's cosine over temperature, the mean over samples and entries."""
    return F.binary_cross_entropy_with_logits(z_bD @ queue_KD.T / temperature, labels_bK)


class MLS(nn.Module):
    """Tell the neighbors of the other view.

    Args:
        projector: widths of the projection head, hidden and output; (2048, 128) in the paper.
        neighbors: entries that count as labels, at least 1; k in the paper.
        queue: entries of both queues, more than neighbors.
        temperature: divides cosines, above 0.
        momentum: of the teacher at the start, in [0, 1]; it rises to 1 along a cosine.
    """

    cause = "a queue that is too small for its neighbors to be alike, or too high a learning rate"

    def __init__(
        self, encoder: Any, *, projector: tuple[int, ...] = (512, 128), neighbors: int = 20, queue: int = 1024,
        temperature: float = 0.1, momentum: float = 0.99,
    ) -> None:  # fmt: skip
        super().__init__()
        above(0, temperature=temperature)
        at_least(1, neighbors=neighbors)
        within(0, 1, momentum=momentum)
        if queue <= neighbors:
            raise ValueError(f"queue is {queue} and neighbors {neighbors}; the queue must be larger")
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.neighbors, self.temperature, self.momentum = neighbors, temperature, momentum
        self.projector = mlp((encoder.dim, *projector))
        self.teacher = Teacher(encoder=encoder, projector=self.projector)
        self.features, self.projections = Queue(queue, encoder.dim), Queue(queue, projector[-1])
        self._pending: list[tuple[Tensor, Tensor]] = []  # of this step: queues change only after the backward pass

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        first, second = role(views, "global")[:2]
        losses = [self._direction(encoder, *pair) for pair in ((first, second), (second, first))]
        total = torch.stack(losses).mean()
        return Loss(total, {"multi_label": total.detach()})

    def _direction(self, encoder: Any, asked: View, told: View) -> Tensor:
        z = self.projector(encoder(told).pooled)
        with torch.no_grad():
            features = self.teacher.encoder(asked).pooled
            projections = self.teacher.projector(features)
        with full_precision(z):
            key = unit(features)
            labels = pseudo_labels(key, self.features.contents.to(key.dtype), self.neighbors)
            if self.training:
                self._pending.append((key, unit(projections)))
            return multi_label_loss(unit(z), self.projections.contents.to(key.dtype), labels, self.temperature)

    def after_step(self, encoder: Any, progress: Progress) -> None:
        for features, projections in self._pending:
            self.features.enqueue(features)
            self.projections.enqueue(projections)
        self._pending.clear()
        self.teacher.update(cosine_momentum(self.momentum, 1.0, progress), encoder=encoder, projector=self.projector)
