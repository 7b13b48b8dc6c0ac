"""What a head on features is asked for: one class a sample, several labels, numbers, or which of several is right.

What is not known of a sample (-1, NaN) is in no loss and no score. Numbers are learned in units of their deviation on
train, each task alike, and given in their own. Of choices (CaseHOLD, https://arxiv.org/abs/2104.08671) a question is
named by its first choice: the head gives each choice one number, and the softmax is over those of a question.

    # B samples of a batch, N samples, K outputs: classes, labels or tasks; C choices of a question
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Data, Targets
from unlabeled.errors import UsageError
from unlabeled.probes.asked import check_labels, check_targets, targets_of
from unlabeled.probes.scores import classification, of_tasks
from unlabeled.probes.targets import guess_of

Kind = Literal["classes", "multilabel", "regression", "choices"]
Learn = Literal["auto", "labels", "targets"]
PERCENT = ("accuracy", "macro_f1", "map", "auc")
BEST = {
    "classes": "accuracy",
    "multilabel": "map",
    "regression": "rmse",
    "choices": "accuracy",
}  # what early stopping reads, by kind
LOSS = {"classes": "cross-entropy", "multilabel": "binary cross-entropy", "regression": "squared error",
        "choices": "cross-entropy over the choices of a question"}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What is learned.

    Args:
        kind: of it.
        names: of the K outputs.
        y: of all samples: ``int64[N]`` or ``float[N, K]``; of choices the number of the right one, at the first.
        beside: ``int64[N, C]``, the choices of the question that a sample is the first of; None without questions.
    """

    kind: Kind
    names: tuple[str, ...]
    y: Tensor
    beside: Tensor | None = None

    @property
    def known(self) -> Tensor:
        """bool[N], True = something is known of the sample."""
        return self.y >= 0 if self._one_of else ~self.y.isnan().all(1)

    @property
    def _one_of(self) -> bool:
        return self.kind in ("classes", "choices")

    @property
    def width(self) -> int:
        """C, the samples that are read for one of ``ids``; 1 without questions."""
        return 1 if self.beside is None else self.beside.shape[1]

    def read(self, ids: Tensor) -> Tensor:
        """The samples that are read for ``ids[N]``: all choices of each question, one after the other."""
        return ids if self.beside is None else self.beside[ids].flatten()

    def asked(self, out_BK: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of the samples ``ids[B]`` as they are compared, ``[Q, C]`` of choices, and what they are of."""
        return (out_BK, ids) if self.beside is None else (out_BK.view(-1, self.width), ids[:: self.width])

    def units(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation ``[K]`` of the numbers of train samples ``ids[N]``; 0 and 1 of other kinds."""
        zero, one = torch.zeros(len(self.names)), torch.ones(len(self.names))
        if self.kind != "regression":
            return zero, one
        y_NK = self.y[ids]
        mean = y_NK.nanmean(0).nan_to_num(0.0)
        spread = (y_NK - mean).square().nanmean(0).sqrt().nan_to_num(0.0)
        return mean, torch.where(spread > 0, spread, one)

    def loss(self, out_BK: Tensor, ids: Tensor, units: tuple[Tensor, Tensor]) -> Tensor:
        """Mean over what is known of samples ``ids[B]``."""
        out_BK, ids = self.asked(out_BK, ids)
        y = self.y[ids]
        if self._one_of:
            return F.cross_entropy(out_BK, y.to(out_BK.device))
        known = ~y.isnan()
        y = ((y - units[0]) / units[1]).nan_to_num(0.0).to(out_BK)
        each = F.binary_cross_entropy_with_logits if self.kind == "multilabel" else F.mse_loss
        return each(out_BK, y, reduction="none")[known.to(out_BK.device)].mean()

    def scores(self, out_NK: Tensor, ids: Tensor) -> dict[str, float]:
        """The numbers of what is known of samples ``ids[N]``; outputs are in the targets' own units."""
        out_NK, ids = self.asked(out_NK, ids)
        if self.kind == "choices":
            return {"accuracy": (out_NK.argmax(1) == self.y[ids]).float().mean().item()}
        if self.kind == "classes":
            return classification(out_NK.argmax(1), self.y[ids])
        found = of_tasks(out_NK, self.y[ids], self.kind, self.names)
        return {name: value for name, value in found.items() if ":" not in name}

    def chance(self, train: Tensor, test: Tensor) -> dict[str, float]:
        """What a guess scores that knows the targets of train alone: its commonest class, its means."""
        if self.kind == "choices":
            return {"accuracy": 1 / self.width}
        if self.kind == "classes":
            most = self.y[train].mode().values
            return classification(most.expand(len(test)), self.y[test])
        sides = [self._targets(ids) for ids in (train, test)]
        return {name: value for name, value in guess_of(*sides).items() if ":" not in name}

    def _targets(self, ids: Tensor) -> Targets:
        assert self.kind in ("multilabel", "regression")
        return Targets(self.y[ids], self.names, self.kind)

    def better(self, found: dict[str, float]) -> float:
        """What early stopping wants to be great; least where test cannot tell."""
        value = found.get(BEST[self.kind], float("-inf"))
        return -value if self.kind == "regression" else value


def task_of(data: Data, learn: Learn = "auto") -> Task:
    """The task that ``data`` sets: its classes, else its targets; ``UsageError`` where it has nothing to learn."""
    check_labels(data)
    check_targets(data)
    labels, targets = data.labels, targets_of(data)
    classes = labels is not None and len(labels[labels >= 0].unique()) > 1
    if (learn == "labels" and not classes) or (learn == "targets" and targets is None):
        raise UsageError(f"{data.describe()}: --learn {learn}, and it has none; leave the flag out")
    if classes and learn != "targets":
        assert labels is not None
        count = int(labels.max()) + 1
        names = tuple(map(str, data.classes))[:count] or tuple(map(str, range(count)))
        return Task("classes", names, labels.long())
    if learn == "auto" and targets is None and getattr(data, "choices", None) is not None:
        return of_choices(data, len(data))
    if targets is None or targets.values.isnan().all():
        raise UsageError(f"{data.describe()}: fine-tuning needs labels of two classes or more, or targets")
    return Task(targets.kind, targets.names, targets.values.float())


def of_choices(data: Any, count: int) -> Task:
    """The task of ``count`` samples with ``choices[Q, C]``, ids of samples, and ``answers[Q]``."""
    first = data.choices[:, 0]
    y = torch.full((count,), -1).index_copy(0, first, data.answers)
    beside = torch.zeros(count, data.choices.shape[1], dtype=torch.int64).index_copy(0, first, data.choices)
    return Task("choices", ("score",), y, beside)
