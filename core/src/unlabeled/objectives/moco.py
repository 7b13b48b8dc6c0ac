"""MoCo v2, https://arxiv.org/abs/2003.04297, and MoCo v3, https://arxiv.org/abs/2104.02057: InfoNCE against keys of a
momentum teacher.

v2 takes its negatives from a queue of earlier keys, v3 from the batch. Differs: no shuffled BatchNorm in v2, since
BatchNorm spans all ranks here (an encoder with BatchNorm may still tell this batch's keys from older ones by their
statistics; one with LayerNorm cannot); v3 does not freeze the patch projection, which belongs to the encoder. Of more
than two global views the first two are taken.

    # B samples of all ranks, D features, K size of the queue
"""

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View, role
from unlabeled.errors import above, at_least, within
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import info_nce, info_nce_queue, own_rows
from unlabeled.nn.precision import full_precision
from unlabeled.nn.queue import Queue
from unlabeled.nn.teacher import Teacher, cosine_momentum


def moco_v3_loss(query_bD: Tensor, key_bD: Tensor, temperature: float, *, chunk: int = 0) -> Tensor:
    """``2 T * InfoNCE`` of one direction: unit queries of this rank against unit keys of all ranks."""
    loss = info_nce(query_bD, gather(key_bD), own_rows(key_bD), temperature, chunk=chunk)
    return 2.0 * temperature * loss


class MoCoV2(nn.Module):
    """Tell the teacher's key of the same sample from a queue of earlier keys.

    Args:
        projector: widths of the projection head, hidden and output, without norms; (2048, 128) in the paper.
        temperature: of the softmax over similarities, above 0; tau in the paper.
        momentum: of the teacher, in [0, 1]; m in the paper.
        queue: keys that serve as negatives; K, 65536 in the paper. Keep it well below the number of samples, or a
            sample's own earlier keys stand among its negatives.
        symmetric: whether each view is query once and key once, at twice the cost; the paper has one direction.
        chunk: rows of the similarity matrix held at a time; 0 = all.
    """

    cause = "views that share a shortcut, too high a temperature, or too high a learning rate"

    def __init__(
        self,
        encoder: Any,
        *,
        projector: tuple[int, ...] = (512, 128),
        temperature: float = 0.2,
        momentum: float = 0.999,
        queue: int = 1024,
        symmetric: bool = False,
        chunk: int = 0,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature, queue=queue)
        at_least(0, chunk=chunk)
        within(0, 1, momentum=momentum)
        self.needs = Needs(views={"global": 2})
        self.temperature, self.momentum, self.symmetric, self.chunk = temperature, momentum, symmetric, chunk
        self.projector = mlp((encoder.dim, *projector), norm="none")
        self.teacher = Teacher(encoder=encoder, projector=self.projector)
        self.queue = Queue(queue, projector[-1])
        self._pending: list[Tensor] = []  # keys of this step: the queue may change only after the backward pass

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        first, second = role(views, "global")[:2]
        directions = [(first, second), (second, first)] if self.symmetric else [(first, second)]
        losses = [self._direction(encoder, query, key) for query, key in directions]
        total = torch.stack(losses).mean()
        return Loss(total, {"info_nce": total.detach()})

    def _direction(self, encoder: Any, query: View, key: View) -> Tensor:
        q = self.projector(encoder(query).pooled)
        k = self.teacher(key)
        with full_precision(q):
            key_BD = unit(k)
            if self.training:
                self._pending.append(key_BD)
            return info_nce_queue(unit(q), key_BD, self.queue.contents, self.temperature, chunk=self.chunk)

    def after_step(self, encoder: Any, progress: Progress) -> None:
        for key_BD in self._pending:
            self.queue.enqueue(key_BD)
        self._pending.clear()
        self.teacher.update(self.momentum, encoder=encoder, projector=self.projector)


class MoCoV3(nn.Module):
    """Find the teacher's key of the other view among the keys of the batch, in both directions.

    Args:
        projector: widths of the projection head, hidden and output; (4096, 4096, 256) in the paper.
        predictor: hidden width of the prediction head; 4096 in the paper.
        temperature: of the softmax over similarities, above 0; tau in the paper, which also scales the loss by 2 tau.
        momentum: of the teacher at the start, in [0, 1]; it rises to 1 along a cosine. m in the paper.
        chunk: rows of the similarity matrix held at a time; 0 = all.
    """

    cause = "a predictor that learns too slowly, too high a learning rate, or a teacher momentum that is too low"

    def __init__(
        self,
        encoder: Any,
        *,
        projector: tuple[int, ...] = (512, 512, 128),
        predictor: int = 512,
        temperature: float = 0.2,
        momentum: float = 0.99,
        chunk: int = 0,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature, predictor=predictor)
        at_least(0, chunk=chunk)
        within(0, 1, momentum=momentum)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.temperature, self.momentum, self.chunk = temperature, momentum, chunk
        self.projector = mlp((encoder.dim, *projector), last_norm=True, last_affine=False, bias=False)
        self.predictor = mlp((projector[-1], predictor, projector[-1]), last_norm=True, last_affine=False, bias=False)
        self.teacher = Teacher(encoder=encoder, projector=self.projector)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        chosen = role(views, "global")[:2]
        q = [self.predictor(self.projector(encoder(view).pooled)) for view in chosen]
        k = [self.teacher(view) for view in chosen]
        with full_precision(q[0]):
            queries, keys = [unit(x) for x in q], [unit(x) for x in k]
            directions = [
                moco_v3_loss(queries[i], keys[j], self.temperature, chunk=self.chunk) for i, j in permutations((0, 1))
            ]
            total = torch.stack(directions).sum()
        return Loss(total, {"info_nce": total.detach() / (4.0 * self.temperature)})

    def after_step(self, encoder: Any, progress: Progress) -> None:
        self.teacher.update(cosine_momentum(self.momentum, 1.0, progress), encoder=encoder, projector=self.projector)
