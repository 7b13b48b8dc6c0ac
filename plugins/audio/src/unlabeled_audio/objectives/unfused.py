"""UnFuSeD, https://arxiv.org/abs/2303.05668: cluster a pre-trained encoder's features, and train a new one on them.

Stage two of three, unsupervised fine-tuning: features of the target audio, by the encoder of stage one (``run``), are
clustered into pseudo-labels, and an encoder from scratch learns them from altered audio. In self-supervised
self-distillation, heads on its shallow layers learn the labels, too, and what the deepest head of the same encoder
says, its softmax by a divergence and its scores by their direction; gradients flow into both sides, as in the authors'
code.
Stage one is any recipe; stage three is ``unlabeled audio finetune``. Differs: clusters are learned online, on centered
directions, where the authors whiten by PCA and run k-means over the whole set; the sum of heads' losses is theirs.

    # B clips, V clusters, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View, role
from unlabeled.draw import Purpose
from unlabeled.errors import UsageError, at_least
from unlabeled.nn.chance import draw_at
from unlabeled.nn.clock import Clock
from unlabeled.nn.codebooks import OnlineKMeans
from unlabeled.nn.distributed import all_reduce, union_mean
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.precision import full
from unlabeled.nn.spread import usage_perplexity
from unlabeled.nn.teacher import Frozen


def divergence(shallow_BV: Tensor, deepest_BV: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the shallow head's distribution from the deepest's: ``[B]``."""
    target = full(deepest_BV).log_softmax(1)
    return F.kl_div(full(shallow_BV).log_softmax(1), target, reduction="none", log_target=True).sum(1)


def direction_error(shallow_BV: Tensor, deepest_BV: Tensor) -> Tensor:
    """Squared distance of both scores at length 1: ``[B]``."""
    return (unit(shallow_BV) - unit(deepest_BV)).square().sum(1)


class UnFuSeD(nn.Module):
    """Pseudo-labels of a frozen encoder, and self-distillation from the deepest layer to shallow ones.

    Args:
        run: run folder of stage one; empty = the encoder's own start, a weak teacher, for tests.
        clusters: of the frozen encoder's features, V.
        shallow: layers that have heads of their own, from 0.
        labels: weight of their cross-entropy against the labels, alpha.
        distillation: weight of their divergence from the deepest head, beta.
        direction: weight of the distance of their scores from the deepest head's, gamma.
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
        shallow: tuple[int, ...] = (0, 1, 2),
        labels: float = 0.7,
        distillation: float = 0.3,
        direction: float = 0.003,
        decay: float = 0.99,
    ) -> None:
        super().__init__()
        at_least(0, labels=labels, distillation=distillation, direction=direction)
        # features are centered over the batch
        self.needs = Needs(views={"source": 1, "altered": 1}, encoder=frozenset({"layers"}), couples=True, batch=2)
        self.shallow, self.weights = shallow, (labels, distillation, direction)
        self.source = Frozen(frozen, encoder)
        self.codebook = OnlineKMeans(clusters, self.source.encoder.dim, decay=decay, normalize=True)
        self.classify = nn.Linear(encoder.dim, clusters)
        self.heads = nn.ModuleList(mlp((encoder.dim, clusters, clusters, clusters)) for _ in shallow)
        self.clock = Clock()
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        terms, codes = [], []
        for number, (clean, altered) in enumerate(zip(role(views, "source"), role(views, "altered"), strict=False)):
            codes.append(self._labels(clean, number))
            terms.append(self._terms(encoder, altered, codes[-1]))
        cluster, shallow, distilled, moved = (union_mean(torch.cat(part)) for part in zip(*terms, strict=True))
        alpha, beta, gamma = self.weights
        parts = {"cluster": cluster, "shallow": shallow, "distillation": distilled, "direction": moved}
        parts = {name: value.detach() for name, value in parts.items()}
        parts["code_perplexity"] = usage_perplexity(torch.cat(codes), len(self.codebook.counts))
        return Loss(cluster + alpha * shallow + beta * distilled + gamma * moved, parts)

    @torch.no_grad()
    def _labels(self, clean: View, number: int) -> Tensor:
        """``int64[B]``: the cluster of each clip, which the clusters will move to."""
        keys = draw_at(self.clock.step, clean.batch.ids, number).words(1, Purpose.ENTRY)[:, 0]
        x = full(self.source(clean).pooled)
        x = x - self._center(x)
        labels: Tensor = self.codebook(x, keys)
        if self.training:
            self._pending.append((x, labels, keys))
        return labels

    def _terms(self, encoder: Any, altered: View, labels: Tensor) -> tuple[Tensor, ...]:
        """``[B]`` each: of the deepest head, and of all shallow ones together against labels, and against it."""
        try:
            features = encoder(altered, layers=self.shallow)
        except IndexError as error:
            raise UsageError(f"shallow is {self.shallow}, and the encoder has fewer layers") from error
        deepest = self.classify(features.pooled)
        scores = [head(layer.pooled) for head, layer in zip(self.heads, features.layers, strict=True)]
        none = [deepest.new_zeros(len(labels))]
        right = [F.cross_entropy(full(s), labels, reduction="none") for s in scores]
        like = [divergence(s, deepest) for s in scores]
        near = [direction_error(s, deepest) for s in scores]
        found = (torch.stack(each + none).sum(0) for each in (right, like, near))
        return F.cross_entropy(full(deepest), labels, reduction="none"), *found

    def _center(self, x_BD: Tensor) -> Tensor:
        """The mean of the batch of all ranks: a large common part would leave one direction to cluster by."""
        return all_reduce(x_BD.sum(0)) / all_reduce(x_BD.new_full((), float(len(x_BD))))

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the clusters to this step's clips."""
        for rows, ids, keys in self._pending:
            self.codebook.update(rows, ids, keys)
        self._pending = []
