"""Multinomial logistic regression on frozen features, with its L2 strength chosen on train alone.

Features are standardized with the statistics of train, sparse ones by one common deviation (:func:`standardize`).
Minimizes sum of losses * C + |W|^2 / 2 (scikit-learn's C; the bias is free) by L-BFGS. C is the one of a grid with the
best accuracy, then the least loss, on a stratified share of train; the fit is then repeated on all of train. Where no
class has two samples to split, C = 1.

The search runs in the principal axes of train, where the Hessian is close to diagonal, each axis scaled by Boehning's
bound on it (https://doi.org/10.1007/BF00048682): the optimum is the same, since the penalty is rotation invariant and
axes without variance get no weight, and tens of steps replace hundreds.

    # N samples, D features, R principal axes, K classes
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Asks, Embedded
from unlabeled.errors import at_least
from unlabeled.probes.scores import class_chance, classification
from unlabeled.probes.splits import first_of_each, quotas, require_labels, shuffled

# of the scaled gradient, of the mean loss. Measured on digits, against 1e-7: at most 2 of 360 test samples change
# sides, in half the time; at 1e-3 it is 9
TOLERANCE = 1e-4
STANDARDIZED = "standardized (sparse features by one deviation)"
SPARSE = 0.5  # share of zeros in train, above which features count as sparse
# numbers in the features, below which threads wait for each other longer than they work: with 2 threads on 2 busy
# cores the digits table was at its first row after 200 s, with 1 thread it was done in 111 s (18 s of CPU time)
SMALL = 1 << 21


@contextmanager
def one_thread_if(small: bool) -> Iterator[None]:
    """Torch on one thread inside, where ``small``."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if small else threads)
        yield
    finally:
        torch.set_num_threads(threads)


def standardize(train_x: Tensor, *others: Tensor) -> list[Tensor]:
    """All inputs, shifted and scaled by the mean and deviation of ``train_x[N, D]``; constant features become 0.

    Where most of train is zero (counts of words, A^2 X), the scale is one for all: the root of their mean variance.
    """
    mean, std = train_x.mean(0), train_x.std(0, correction=0)
    scale = std
    if (train_x == 0).float().mean() > SPARSE:
        # features of one unit: by its own deviation, a word that train has once would weigh as much as all others.
        # Public split of Cora at the best C of each: A^2 X 81 % and 70 % by own deviations, words 60 % and 48 %
        scale = std.square().mean().sqrt().expand_as(std)
    # a deviation that rounding alone explains is no feature
    scale = torch.where(std > 1e-6 * mean.abs().clamp(min=1e-6), scale, torch.inf)
    return [(x - mean) / scale for x in (train_x, *others)]


def principal_axes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Axes ``[D, R]`` of centered ``x[N, D]`` and the variance ``[R]`` along each, without the null space."""
    count, dim = x.shape
    # in double precision: LAPACK gives up on a single one of many equal eigenvalues, as empty columns have
    found = torch.linalg.eigh((x.T @ x if dim <= count else x @ x.T).double() / count)
    variance, axes = (part.to(x.dtype) for part in found)
    keep = variance > variance[-1].clamp(min=0) * 10 * torch.finfo(x.dtype).eps * min(count, dim)
    variance, axes = variance[keep], axes[:, keep]
    return (axes if dim <= count else x.T @ axes / (variance * count).sqrt()), variance


@dataclass(frozen=True)
class Fit:
    """Weights ``[R, K]`` in principal axes, and bias ``[K]``."""

    weight: Tensor
    bias: Tensor

    def __call__(self, z_NR: Tensor) -> Tensor:
        return z_NR @ self.weight + self.bias


def fit(
    z: Tensor,
    y: Tensor,
    classes: int,
    C: float,
    *,
    start: Fit | None = None,
    steps: int = 200,
    tolerance: float = TOLERANCE,
) -> Fit:
    """Logistic regression of ``y[N]`` on ``z[N, R]`` (columns near uncorrelated), from ``start`` or zero."""
    count = len(z)
    decay = 1 / (C * count)
    scale_R1 = (0.5 * z.square().mean(0) + decay).rsqrt()[:, None]
    start = start or Fit(z.new_zeros(z.shape[1], classes), z.new_zeros(classes))
    weight = (start.weight / scale_R1).requires_grad_()
    bias = start.bias.clone().requires_grad_()
    search = torch.optim.LBFGS(
        [weight, bias], max_iter=steps, tolerance_grad=tolerance, tolerance_change=1e-9, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        search.zero_grad()
        scaled = scale_R1 * weight
        value = F.cross_entropy(torch.addmm(bias, z, scaled), y) + decay / 2 * scaled.square().sum()
        value.backward()
        return value

    search.step(loss)
    return Fit((scale_R1 * weight).detach(), bias.detach())


def hold_out(y: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Positions in ``y[N]`` to fit on and to choose C on: stratified, one of each class held out where it has two."""
    order = shuffled(torch.arange(len(y)), seed)
    counts = torch.bincount(y)
    wanted = torch.minimum(quotas(counts, share).clamp(min=1), (counts - 1).clamp(min=0))
    held = torch.zeros(len(y), dtype=torch.bool).index_fill_(0, order[first_of_each(y[order], wanted)], True)
    return torch.nonzero(~held)[:, 0], torch.nonzero(held)[:, 0]


def choose(z: Tensor, y: Tensor, classes: int, grid: tuple[float, ...], share: float, seed: int, steps: int) -> float:
    """The C of ``grid`` that does best on a held-out share of ``z[N, R]``; ties of accuracy go to the lower loss."""
    if len(grid) == 1:
        return grid[0]
    fitted, held = hold_out(y, share, seed)
    if not len(held):
        return 1.0
    best, scores, model = (-1.0, 0.0), {}, None
    for C in sorted(grid):  # from strong to weak: each fit starts where the last ended
        model = fit(z[fitted], y[fitted], classes, C, start=model, steps=steps)
        logits = model(z[held])
        right = (logits.argmax(1) == y[held]).float().mean().item()
        scores[C] = (right, -F.cross_entropy(logits, y[held]).item())
        best = max(best, scores[C])
    return next(C for C, score in scores.items() if score == best)


class Linear:
    """L2-regularized logistic regression.

    Args:
        grid: inverse strengths that are tried, each above 0; C of scikit-learn.
        holdout: share of train on which C is chosen, in (0, 1).
        steps: most L-BFGS steps of a fit, at least 1.
        seed: of the split on which C is chosen.
    """

    asks = Asks(labels=True, fractions=True)  # also asked with few labels
    quick = {"grid": (0.1,)}

    def __init__(
        self,
        *,
        grid: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
        holdout: float = 0.2,
        steps: int = 200,
        seed: int = 0,
    ) -> None:
        if not grid or min(grid) <= 0:
            raise ValueError(f"grid is {grid}; it must hold numbers above 0")
        if not 0 < holdout < 1:
            raise ValueError(f"holdout is {holdout}; it must be a share in (0, 1)")
        at_least(1, steps=steps)
        self.grid, self.holdout, self.steps, self.seed = grid, holdout, steps, seed
        values = ", ".join(f"{C:g}" for C in grid)
        self.spec = (
            f"linear-v2: {STANDARDIZED}, L2 logistic regression, L-BFGS to gradient {TOLERANCE:g} or {steps} steps, "
            f"C of {{{values}}} on {holdout:.0%} of train, refit"
        )

    def predict(self, train: Embedded, test: Embedded) -> tuple[Tensor, Tensor]:
        """Guessed and true classes ``[M]`` of the labeled samples of test."""
        train_x, train_y, test_x, test_y = require_labels(train, test)
        known, logits = self.logits(train_x, train_y, test_x)
        return known[logits.argmax(1)], test_y

    def logits(self, train_x: Tensor, train_y: Tensor, test_x: Tensor) -> tuple[Tensor, Tensor]:
        """The K classes of ``train_y[N]``, and ``[M, K]`` of ``test_x[M, D]``."""
        known, target = train_y.unique(return_inverse=True)
        train_x, test_x = standardize(train_x.float(), test_x.float())
        axes, _ = principal_axes(train_x)
        z = train_x @ axes
        with one_thread_if(z.numel() < SMALL):
            C = choose(z, target, len(known), self.grid, self.holdout, self.seed, self.steps)
            model = fit(z, target, len(known), C, steps=self.steps)
        return known, model(test_x @ axes)

    def __call__(self, train: Embedded, test: Embedded) -> dict[str, float]:
        return classification(*self.predict(train, test))

    def guess(self, train: Embedded, test: Embedded) -> dict[str, float]:
        """What a guess scores that knows the classes of train."""
        _, train_y, _, test_y = require_labels(train, test)
        return class_chance(train_y, test_y)
