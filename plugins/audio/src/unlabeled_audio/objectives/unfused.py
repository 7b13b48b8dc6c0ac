"""UnFuSeD, https://arxiv.org/abs/2303.05668: cluster a pre-trained encoder's features, and train a new one on them.

Stage two of three, unsupervised fine-tuning: features of the target audio, by the encoder of stage one (``run``), are
clustered into pseudo-labels; an encoder from scratch learns them, and is held near the softened outputs of its own
moving average (self-distillation). Stage one is any recipe; stage three is ``unlabeled audio finetune``. Differs:
clusters are learned online, on directions, where the paper runs k-means over the whole set.

    # B clips, V clusters, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View
from unlabeled.draw import Purpose
from unlabeled.errors import above, at_least, within
from unlabeled.nn.chance import draw_at
from unlabeled.nn.clock import Clock
from unlabeled.nn.codebooks import OnlineKMeans
from unlabeled.nn.distributed import all_reduce, union_mean
from unlabeled.nn.precision import full
from unlabeled.nn.spread import usage_perplexity
from unlabeled.nn.teacher import Frozen, Teacher


def distillation_loss(student_BV: Tensor, teacher_BV: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of the student against the teacher, both softened, times temperature squared: ``[B]``."""
    target = (full(teacher_BV) / temperature).softmax(1)
    return -(target * F.log_softmax(full(student_BV) / temperature, dim=1)).sum(1) * temperature**2


class UnFuSeD(nn.Module):
    """Pseudo-labels of a frozen encoder, and self-distillation.

    Args:
        run: run folder of stage one; empty = the encoder's own start, a weak teacher, for tests.
        clusters: of the frozen encoder's features, V.
        distillation: weight of the self-distillation.
        temperature: that softens both sides of it.
        momentum: of the moving average, in [0, 1].
        decay: of the clusters' counts and sums a step, in [0, 1).
    """

    cause = "clusters that are nearly all the same (see code_perplexity), or too high a learning rate"

    def __init__(
        self,
        encoder: Any,
        frozen: Any = None,
        *,
        run: str = "",
        clusters: int = 64,
        distillation: float = 0.5,
        temperature: float = 2.0,
        momentum: float = 0.99,
        decay: float = 0.99,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, distillation=distillation)
        within(0, 1, momentum=momentum)
        self.needs = Needs(views={"global": 1}, couples=True)  # features are centered over the batch
        self.distillation, self.temperature, self.momentum = distillation, temperature, momentum
        self.source = Frozen(frozen, encoder)
        self.codebook = OnlineKMeans(clusters, self.source.encoder.dim, decay=decay, normalize=True)
        self.classify = nn.Linear(encoder.dim, clusters)
        self.teacher = Teacher(train=False, encoder=encoder, classify=self.classify)
        self.clock = Clock()
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        hard, soft, codes = [], [], []
        for number, view in enumerate(views):
            keys = draw_at(self.clock.step, view.batch.ids, number).words(1, Purpose.ENTRY)[:, 0]
            with torch.no_grad():
                x = full(self.source(view).pooled)
                x = x - self._center(x)
                labels = self.codebook(x, keys)
                target = self.teacher(view)
            scores = full(self.classify(encoder(view).pooled))
            hard.append(F.cross_entropy(scores, labels, reduction="none"))
            soft.append(distillation_loss(scores, target, self.temperature))
            codes.append(labels)
            if self.training:
                self._pending.append((x, labels, keys))
        cluster, distilled = union_mean(torch.cat(hard)), union_mean(torch.cat(soft))
        parts = {"cluster": cluster.detach(), "distillation": distilled.detach()}
        parts["code_perplexity"] = usage_perplexity(torch.cat(codes), len(self.codebook.counts))
        return Loss(cluster + self.distillation * distilled, parts)

    def _center(self, x_BD: Tensor) -> Tensor:
        """The mean of the batch of all ranks: a large common part would leave one direction to cluster by."""
        return all_reduce(x_BD.sum(0)) / all_reduce(x_BD.new_tensor(float(len(x_BD))))

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the clusters to this step's clips, and the moving average to the encoder."""
        for rows, ids, keys in self._pending:
            self.codebook.update(rows, ids, keys)
        self._pending = []
        self.teacher.update(self.momentum, encoder=encoder, classify=self.classify)
