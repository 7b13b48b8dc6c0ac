"""SwAV, https://arxiv.org/abs/2006.09882: predict the Sinkhorn code of one view from every other view.

The codes of a global view come from a Sinkhorn-Knopp assignment over the batch of all ranks, which makes the
prototypes share the samples equally. Differs: scores are shifted by their greatest before they are exponentiated
(same codes, no overflow); the queue fills from the first step on and is used once it is full and training is past
``queue_start``, where the authors' code also fills it from there.

    # B samples, N rows to assign (batch and queue), K prototypes, D width of the projection, G global views, V views
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View, global_first
from unlabeled.errors import above, at_least, within
from unlabeled.nn.clock import Clock
from unlabeled.nn.distributed import rank, world
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.precision import full, full_precision
from unlabeled.nn.prototypes import held, sinkhorn, swapped_prediction
from unlabeled.nn.queue import Queue
from unlabeled.nn.spread import information_perplexity

QUEUES = 2  # the paper's: one for each of the two views that are assigned


class SwAV(nn.Module):
    """Swapped prediction of cluster assignments.

    Args:
        hidden: width of the projector's hidden layer.
        dim: width of the projection.
        prototypes: number of prototypes, K.
        temperature: divides the scores that predict, tau.
        epsilon: of the entropy term in the assignment; smaller is sharper. Even codes teach even scores; a run leaves
            them only where the scores of two views correlate above epsilon / tau.
        iterations: of Sinkhorn-Knopp.
        queue: earlier projections that take part in the assignment, over all ranks; 0 = none.
        queue_start: share of training after which the queue is used, 0 to 1.
        freeze: share of training in which the prototypes stand still, 0 to 1.
    """

    cause = "an epsilon or temperature that lets one prototype win, or too high a learning rate"
    filled: Tensor

    def __init__(
        self,
        encoder: Any,
        *,
        hidden: int = 2048,
        dim: int = 128,
        prototypes: int = 3000,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        iterations: int = 3,
        queue: int = 0,
        queue_start: float = 0.15,
        freeze: float = 0.01,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature, epsilon=epsilon, iterations=iterations)
        above(1, prototypes=prototypes)
        at_least(0, queue=queue)
        within(0, 1, queue_start=queue_start, freeze=freeze)
        self.needs = Needs(views={"global": 2}, uses=("local",), batch=2, couples=True)
        self.temperature, self.epsilon, self.iterations = temperature, epsilon, iterations
        self.queue, self.queue_start, self.freeze = queue, queue_start, freeze
        self.projector = mlp((encoder.dim, hidden, dim))
        self.prototypes = nn.Parameter(F.normalize(torch.randn(prototypes, dim), dim=1))
        self.queues = nn.ModuleList(Queue(queue, dim) for _ in range(QUEUES if queue else 0))
        self.clock = Clock()
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self._pending: list[list[Tensor]] = []  # projections of this step, taken into the queues after it

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        ordered = global_first(views)
        assigned = sum(view.role == "global" for view in ordered)
        pooled = torch.cat([encoder(view).pooled for view in ordered])
        # all views in one pass, as the authors' code has it: BatchNorm's statistics are of all of them
        projections = unit(self.projector(pooled)).chunk(len(ordered))
        if self.queue and self.training:
            self._pending.append([z.detach() for z in projections[:QUEUES]])
        with full_precision(self.prototypes):
            prototypes = full(held(self.prototypes, self.clock.since(self.freeze)))
            scores = [z @ prototypes.T for z in projections]
            codes = [self._codes(s, i) for i, s in enumerate(scores[:assigned])]
            total = swapped_prediction(scores, codes, self.temperature)
        return Loss(total, {"code_perplexity": information_perplexity(codes)})

    @torch.no_grad()
    def _codes(self, scores_BK: Tensor, number: int) -> Tensor:
        if not self.queue:
            return sinkhorn(scores_BK, epsilon=self.epsilon, iterations=self.iterations)
        # every rank holds the whole queue and brings its share of it, so that each row counts once
        earlier = full(self._queue(number).contents[rank() :: world()]) @ full(self.prototypes).T
        used = (self.filled >= self.queue) & (self.clock.fraction >= self.queue_start)
        weight = torch.cat((scores_BK.new_ones(len(scores_BK)), used.to(scores_BK.dtype).expand(len(earlier))))
        codes = sinkhorn(
            torch.cat((scores_BK, earlier)), epsilon=self.epsilon, iterations=self.iterations, weight_N=weight
        )
        return codes[: len(scores_BK)]

    def _queue(self, number: int) -> Queue:
        queue = self.queues[number % QUEUES]
        assert isinstance(queue, Queue)
        return queue

    @torch.no_grad()
    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Bring the prototypes back to length 1, and the step's projections into the queues."""
        self.prototypes.copy_(F.normalize(self.prototypes, dim=1))
        for projections in self._pending:
            for number, z in enumerate(projections):
                self._queue(number).enqueue(z)
            self.filled.add_(len(projections[0]) * world())
        self._pending = []
