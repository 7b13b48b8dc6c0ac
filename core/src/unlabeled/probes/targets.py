"""Ridge regression, one logistic regression a label, and nearest neighbors, from frozen features to ``data.targets``.

Every task learns from the samples of train whose target is known (NaN = unknown), and its strength of regularization
is chosen on a share of them, then the fit repeated on all. Features are standardized with the statistics of train.

    # N samples, D features, R principal axes, K tasks, G strengths; known: True = the target is known
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Asks, Embedded, Targets
from unlabeled.errors import above, at_least
from unlabeled.probes.linear import SMALL, STANDARDIZED, descend, one_thread_if, principal_axes, standardize
from unlabeled.probes.scores import of_tasks
from unlabeled.probes.splits import shuffled

Solve = Callable[[Tensor, Tensor, Tensor], Tensor]


def targets_of(train: Embedded, test: Embedded) -> tuple[Targets, Targets]:
    """Those of both sides; ``ValueError`` where the data has none."""
    if train.targets is None or test.targets is None:
        raise ValueError("this probe needs targets, and the data has none")
    return train.targets, test.targets


def guess_of(train: Targets, test: Targets) -> dict[str, float]:
    """What the mean of train scores on test, task by task: the prevalence of a label."""
    mean = train.values.double().nanmean(0).nan_to_num(0.0)
    return of_tasks(mean.expand(len(test.values), -1), test.values, test.kind, test.names)


def held_out(count: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of ``count`` samples to fit on and to choose on; none of the latter below 5."""
    order = shuffled(torch.arange(count), seed)
    held = 0 if count < 5 else max(1, round(count * share))
    return order[held:], order[:held]


# ---------------------------------------------------------------------------------------------- ridge


def ridge_path(x: Tensor, y: Tensor, strengths: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Weights ``[G, D, K]`` and bias ``[G, K]`` of min |y - x w - b|^2 / N + strength |w|^2."""
    x_mean, y_mean = x.mean(0), y.mean(0)
    axes, variance = principal_axes(x - x_mean)
    moment_RK = ((x - x_mean) @ axes).T @ (y - y_mean) / len(x)
    weight = torch.stack([axes @ (moment_RK / (variance + strength)[:, None]) for strength in strengths])
    return weight, y_mean - x_mean @ weight


def ridge(x: Tensor, y: Tensor, test_x: Tensor, strengths: Sequence[float], share: float, seed: int) -> Tensor:
    """Guesses ``[M, K]`` for tasks ``y[N, K]`` that are all known, each with the strength that suits it."""
    fitted, held = held_out(len(x), share, seed)
    best = torch.full((y.shape[1],), len(strengths) // 2)
    if len(held):
        weight, bias = ridge_path(x[fitted], y[fitted], strengths)
        best = (x[held] @ weight + bias[:, None] - y[held]).square().mean(1).argmin(0)
    weight, bias = ridge_path(x, y, strengths)
    tasks = torch.arange(y.shape[1])
    return test_x @ weight[best, :, tasks].T + bias[best, tasks]


def by_known(x: Tensor, y: Tensor, test_x: Tensor, solve: Solve) -> Tensor:
    """``solve`` for all tasks that the same samples know, at once; the guess where none is known is 0."""
    patterns, group_K = (~y.isnan()).unique(dim=1, return_inverse=True)
    guess = test_x.new_zeros(len(test_x), y.shape[1])
    for number, known in enumerate(patterns.T):
        if known.any():
            tasks = group_K == number
            guess[:, tasks] = solve(x[known], y[known][:, tasks], test_x)
    return guess


# ---------------------------------------------------------------------------------------------- logistic


def logistic(z: Tensor, y: Tensor, C: Tensor, *, start: Tensor | None = None, steps: int = 200) -> Tensor:
    """Weights ``[R + 1, K]``, the bias last, of a logistic regression for each column of ``y[N, K]`` (NaN = unknown).

    Minimizes mean of known losses + |w|^2 / (2 C n) by L-BFGS for all tasks at once, axes scaled by a bound of the
    Hessian as in :mod:`unlabeled.probes.linear`.
    """
    known = ~y.isnan()
    count_K = known.sum(0).clamp(min=1).to(z.dtype)
    decay_K1, target_KN, share_KN = (1 / (C * count_K))[:, None], y.nan_to_num(0.0).T, (known / count_K).to(z.dtype).T
    one = torch.cat((z, z.new_ones(len(z), 1)), 1)
    scale_KR = (0.25 * one.square().mean(0) + decay_K1).rsqrt()
    penalty_KR = decay_K1 * scale_KR.square()
    penalty_KR[:, -1] = 0

    def loss(weight_KR: Tensor) -> tuple[Tensor, Tensor]:
        logits_KN = (scale_KR * weight_KR) @ one.T
        each = F.binary_cross_entropy_with_logits(logits_KN, target_KN, share_KN, reduction="sum")
        slope_KR = ((logits_KN.sigmoid() - target_KN) * share_KN) @ one * scale_KR
        pull_KR = penalty_KR * weight_KR
        return each + 0.5 * (pull_KR * weight_KR).sum(), slope_KR + pull_KR

    begin = torch.zeros_like(scale_KR) if start is None else start.T / scale_KR
    return (scale_KR * descend(loss, begin, steps, 1e-5)).T


def choose(z: Tensor, y: Tensor, grid: Sequence[float], share: float, seed: int, steps: int) -> Tensor:
    """``[K]``: the C of each task with the least loss on a held-out share of its samples; 1 where none is held out."""
    if len(grid) == 1:
        return z.new_full((y.shape[1],), grid[0])
    fitted, held = held_out(len(z), share, seed)
    if not len(held):
        return z.new_ones(y.shape[1])
    fitted_z, fitted_y, known, losses, weight = z[fitted], y[fitted], ~y[held].isnan(), [], None
    for C in grid:  # from strong to weak: each fit starts where the last ended
        weight = logistic(fitted_z, fitted_y, z.new_full((y.shape[1],), C), start=weight, steps=steps)
        logits = z[held] @ weight[:-1] + weight[-1]
        each = F.binary_cross_entropy_with_logits(logits, y[held].nan_to_num(0.0), reduction="none")
        losses.append((each * known).sum(0))
    return z.new_tensor(grid)[torch.stack(losses).argmin(0)]


# ---------------------------------------------------------------------------------------------- probes


class _OfTargets:
    """What the probes of targets share: their guess for test, scored task by task."""

    def __call__(self, train: Embedded, test: Embedded) -> dict[str, float]:
        known, truth = targets_of(train, test)
        guess = self.predict(train.x.float(), known.values.float(), test.x.float())
        return of_tasks(guess, truth.values, truth.kind, truth.names)

    def guess(self, train: Embedded, test: Embedded) -> dict[str, float]:
        """What train's mean scores."""
        return guess_of(*targets_of(train, test))

    def predict(self, train_x: Tensor, y: Tensor, test_x: Tensor) -> Tensor:
        """Guesses ``[M, K]`` for ``test_x[M, D]`` of what was learned from ``train_x[N, D]`` and ``y[N, K]``."""
        raise NotImplementedError


class Ridge(_OfTargets):
    """Ridge regression of numbers.

    Args:
        grid: strengths that are tried, each above 0: the weight of |w|^2 beside the mean squared error.
        holdout: share of train on which the strength is chosen, in (0, 1).
        seed: of that share.
    """

    asks = Asks(targets=("regression",))

    def __init__(
        self,
        *,
        grid: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0),
        holdout: float = 0.2,
        seed: int = 0,
    ) -> None:
        self.grid, self.holdout, self.seed = _grid(grid, holdout), holdout, seed
        self.spec = (
            f"ridge-1: {STANDARDIZED}, least squares + strength |w|^2, strength of {{{_values(grid)}}} for each task "
            f"on {holdout:.0%} of train, refit"
        )

    def predict(self, train_x: Tensor, y: Tensor, test_x: Tensor) -> Tensor:
        x, test_x = (side.double() for side in standardize(train_x, test_x))

        def solve(known_x: Tensor, known_y: Tensor, other_x: Tensor) -> Tensor:
            return ridge(known_x, known_y, other_x, self.grid, self.holdout, self.seed)

        return by_known(x, y.double(), test_x, solve)


class MultiLabel(_OfTargets):
    """A logistic regression for each label.

    Args:
        grid: inverse strengths that are tried, each above 0; C of scikit-learn.
        holdout: share of train on which C is chosen, in (0, 1).
        steps: most L-BFGS steps of a fit, at least 1.
        seed: of that share.
    """

    asks = Asks(targets=("multilabel",))
    quick = {"grid": (0.1,)}

    def __init__(
        self,
        *,
        grid: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
        holdout: float = 0.2,
        steps: int = 200,
        seed: int = 0,
    ) -> None:
        at_least(1, steps=steps)
        self.grid, self.holdout, self.steps, self.seed = _grid(grid, holdout), holdout, steps, seed
        self.spec = (
            f"multilabel-1: {STANDARDIZED}, L2 logistic regression a label, C of {{{_values(grid)}}} for each label by "
            f"loss on {holdout:.0%} of train, refit; macro mAP and AUC over known labels"
        )

    def predict(self, train_x: Tensor, y: Tensor, test_x: Tensor) -> Tensor:
        x, test_x = standardize(train_x, test_x)
        axes, _ = principal_axes(x)
        z = x @ axes
        with one_thread_if(z.numel() < SMALL):
            C = choose(z, y, self.grid, self.holdout, self.seed, self.steps)
            weight = logistic(z, y, C, steps=self.steps)
        return test_x @ axes @ weight[:-1] + weight[-1]


class Neighbors(_OfTargets):
    """The mean over the nearest of train whose target is known, weighted as votes of ``knn`` are.

    Args:
        k: neighbors that are averaged, at least 1.
        temperature: of their weights, above 0.
    """

    asks = Asks(targets=("regression", "multilabel"))

    def __init__(self, *, k: int = 20, temperature: float = 0.07) -> None:
        at_least(1, k=k)
        above(0, temperature=temperature)
        self.k, self.temperature = k, temperature
        self.spec = f"neighbors-1: cosine, k={k}, T={temperature:g}, mean over those whose target is known, exact"

    def predict(self, train_x: Tensor, y: Tensor, test_x: Tensor) -> Tensor:
        def solve(known_x: Tensor, known_y: Tensor, other_x: Tensor) -> Tensor:
            keys, guesses = F.normalize(known_x, dim=1).T, []
            for query in F.normalize(other_x, dim=1).split(1024):
                near, index = (query @ keys).topk(min(self.k, len(known_x)), dim=1)
                weight = ((near - near[:, :1]) / self.temperature).softmax(1)
                guesses.append((weight[..., None] * known_y[index]).sum(1))
            return torch.cat(guesses)

        return by_known(train_x, y, test_x, solve)


def _grid(grid: tuple[float, ...], holdout: float) -> tuple[float, ...]:
    if not grid or min(grid) <= 0:
        raise ValueError(f"grid is {grid}; it must hold numbers above 0")
    if not 0 < holdout < 1:
        raise ValueError(f"holdout is {holdout}; it must be a share in (0, 1)")
    return tuple(sorted(grid))


def _values(grid: Sequence[Any]) -> str:
    return ", ".join(f"{value:g}" for value in grid)
