"""Scores of classes, of several labels a sample, and of numbers, where what is not known (NaN, -1) counts in none.

A number of a task that test cannot tell (one class alone, a constant target) is left out, and so is it from the mean
over tasks. Average precision, area under the curve and rank correlation are scikit-learn's and scipy's.

    # N samples, K tasks or classes
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

MOST = 100  # classes, above which a confusion is no longer kept


def confusion(guess: Tensor, truth: Tensor, classes: int) -> Tensor:
    """int64[K, K] counts: a row for each true class, a column for each guess."""
    return torch.bincount(truth * classes + guess, minlength=classes**2).view(classes, classes)


def per_class(counts: Tensor) -> dict[str, Tensor]:
    """``[K]`` precision, recall, F1 and count of each class of a confusion ``[K, K]``; 0 where nothing is found."""
    right, truth, guess = counts.diagonal().double(), counts.sum(1).double(), counts.sum(0).double()
    return {
        "precision": right / guess.clamp(min=1),
        "recall": right / truth.clamp(min=1),
        "f1": 2 * right / (truth + guess).clamp(min=1),
        "count": counts.sum(1),
    }


def classification(guess: Tensor, truth: Tensor) -> dict[str, float]:
    """Accuracy of ``guess[N]``, and F1 averaged over all classes that are true or guessed."""
    counts = confusion(guess, truth, int(max(guess.max(), truth.max())) + 1)
    seen = (counts.sum(0) + counts.sum(1)) > 0
    return {
        "accuracy": (guess == truth).float().mean().item(),
        "macro_f1": per_class(counts)["f1"][seen].mean().item(),
    }


def class_chance(train_y: Tensor, test_y: Tensor) -> dict[str, float]:
    """What the better of two guesses scores on ``test_y[M]``: any class of ``train_y[N]``, or its most frequent one.

    Equal classes of train are guessed alike. F1 is that of guesses drawn with the frequencies of train.
    """
    classes = int(max(train_y.max(), test_y.max())) + 1
    counts, truth = (torch.bincount(y, minlength=classes).double() for y in (train_y, test_y))
    drawn, share = counts / counts.sum(), truth / truth.sum()
    most = share[counts == counts.max()].mean()
    seen = (counts + truth) > 0
    f1 = (2 * drawn * share / (drawn + share))[seen].mean()
    return {"accuracy": max(1 / int((counts > 0).sum()), most.item()), "macro_f1": f1.item()}


def details(guess: Tensor, truth: Tensor, classes: Sequence[str]) -> dict[str, Any]:
    """Per-class scores and, up to 100 classes, the confusion, as ``probes.json`` holds them."""
    total = max(int(max(guess.max(), truth.max())) + 1, len(classes))
    counts = confusion(guess, truth, total)
    names = [classes[i] if i < len(classes) else str(i) for i in range(total)]
    columns = {key: value.tolist() for key, value in per_class(counts).items()}
    rows = [{"class": name, **{key: value[i] for key, value in columns.items()}} for i, name in enumerate(names)]
    return {"per_class": rows} | ({"confusion": counts.tolist()} if total <= MOST else {})


# ---------------------------------------------------------------------------------------------- targets


def regression(guess: Tensor, truth: Tensor) -> dict[str, float]:
    """RMSE, MAE, R2 and Spearman's rank correlation of one task, ``[N]`` each; a constant guess has correlation 0."""
    from scipy.stats import spearmanr

    guess, truth = guess.double(), truth.double()
    error, spread = guess - truth, (truth - truth.mean()).square().sum()
    found = {"rmse": error.square().mean().sqrt().item(), "mae": error.abs().mean().item()}
    if spread > 0:
        found["r2"] = (1 - error.square().sum() / spread).item()
        flat = bool((guess == guess[0]).all())
        found["spearman"] = 0.0 if flat else float(spearmanr(guess.numpy(), truth.numpy()).statistic)
    return found


def multilabel(score: Tensor, truth: Tensor) -> dict[str, float]:
    """Average precision and area under the ROC curve of one label, ``[N]`` each; nothing where test has one class."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    if len(truth.unique()) < 2:
        return {}
    y, s = truth.numpy() > 0.5, score.double().numpy()
    return {"map": float(average_precision_score(y, s)), "auc": float(roc_auc_score(y, s))}


METRICS: Mapping[str, Callable[[Tensor, Tensor], dict[str, float]]] = {
    "regression": regression,
    "multilabel": multilabel,
}


def of_tasks(guess: Tensor, truth: Tensor, kind: str, names: Sequence[str]) -> dict[str, float]:
    """``rmse`` averaged over the tasks of ``guess[N, K]`` that have it, and ``rmse:NAME`` of each where K > 1."""
    tasks: dict[str, float] = {}
    sums: dict[str, list[float]] = {}
    for number, name in enumerate(names):
        known = ~truth[:, number].isnan()
        found = METRICS[kind](guess[known, number], truth[known, number]) if known.any() else {}
        for key, value in found.items():
            if math.isfinite(value):
                sums.setdefault(key, []).append(value)
                tasks[f"{key}:{name}"] = value
    means = {key: sum(values) / len(values) for key, values in sums.items()}
    return means | (tasks if len(names) > 1 else {})
