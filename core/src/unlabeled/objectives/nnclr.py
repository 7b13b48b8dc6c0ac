"""NNCLR, https://arxiv.org/abs/2104.14548: contrast with the nearest neighbor, in a queue, of the other view.

The neighbor of one view's projection stands in for it: it is to be told by the prediction of the other view, among
those of the batch. Differs: of more than two global views the first two are taken; the queue is filled after the step.

    # B samples of all ranks, b samples of this rank, K size of the queue, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View, role
from unlabeled.errors import above
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import info_nce, own_rows
from unlabeled.nn.precision import full_precision
from unlabeled.nn.queue import Queue


@torch.no_grad()
def nearest(z_bD: Tensor, queue_KD: Tensor) -> Tensor:
    """The rows of the queue that are most like each of these unit vectors: ``[b, D]``.

    >>> nearest(torch.tensor([[0.8, 0.6]]), torch.eye(2))
    tensor([[1., 0.]])
    """
    return queue_KD[(z_bD @ queue_KD.T).argmax(1)]


class NNCLR(nn.Module):
    """Tell, by the prediction of one view, the neighbor of the other.

    Args:
        projector: widths of the projection head, hidden and output; (2048, 2048, 256) in the paper.
        predictor: hidden width of the prediction head; 4096 in the paper.
        temperature: of the softmax over similarities, above 0; 0.1 in the paper.
        queue: projections that neighbors are sought among; 98,304 in the paper.
    """

    cause = "a queue that is smaller than a batch, too high a temperature, or too high a learning rate"

    def __init__(
        self, encoder: Any, *, projector: tuple[int, ...] = (512, 512, 128), predictor: int = 512,
        temperature: float = 0.1, queue: int = 4096,
    ) -> None:  # fmt: skip
        super().__init__()
        above(0, predictor=predictor, temperature=temperature, queue=queue)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.temperature = temperature
        self.projector = mlp((encoder.dim, *projector), last_norm=True)
        self.predictor = mlp((projector[-1], predictor, projector[-1]))
        self.queue = Queue(queue, projector[-1])
        self._pending: list[Tensor] = []  # of this step: the queue may change only after the backward pass

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")[:2]]
        p = [self.predictor(z_BD) for z_BD in z]
        with full_precision(z[0]):
            found = [nearest(unit(z_BD), self.queue.contents) for z_BD in z]
            units = [unit(p_BD) for p_BD in p]
            losses = [
                info_nce(neighbor, gather(other), own_rows(other), self.temperature)
                for neighbor, other in ((found[0], units[1]), (found[1], units[0]))
            ]
            total = torch.stack(losses).mean()
            if self.training:
                self._pending.append(unit(z[0].detach()))
        return Loss(total, {"info_nce": total.detach()})

    def after_step(self, encoder: Any, progress: Progress) -> None:
        for z_BD in self._pending:
            self.queue.enqueue(z_BD)
        self._pending.clear()
