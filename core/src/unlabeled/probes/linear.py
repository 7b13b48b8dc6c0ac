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

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

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

    def beyond(self, before: "Fit") -> "Fit":
        """As far on from this fit as it is from the one before."""
        return Fit(2 * self.weight - before.weight, 2 * self.bias - before.bias)


def descend(loss: Callable[[Tensor], tuple[Tensor, Tensor]], start: Tensor, steps: int, tolerance: float) -> Tensor:
    """Where ``loss``, which gives value and gradient, is least: scipy's L-BFGS, whose own work is next to none."""
    from scipy.optimize import minimize

    def call(flat: Any) -> tuple[float, Any]:
        value, gradient = loss(torch.from_numpy(flat).view(start.shape).to(start.dtype))
        return value.item(), gradient.double().flatten().numpy()

    options = {"maxiter": steps, "gtol": tolerance, "ftol": 1e-9, "maxfun": 10 * steps}
    found = minimize(call, start.double().flatten().numpy(), jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(found.x).view(start.shape).to(start.dtype)


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
    scale_R = (0.5 * z.square().mean(0) + decay).rsqrt()
    start = start or Fit(z.new_zeros(z.shape[1], classes), z.new_zeros(classes))

    # classes stand first: products with the few columns of [R, K] take 2 to 5 times as long
    def loss(both_KR: Tensor) -> tuple[Tensor, Tensor]:
        weight_KR = both_KR[:, :-1] * scale_R
        logits_KN = torch.addmm(both_KR[:, -1:], weight_KR, z.T)
        highest_N = logits_KN.amax(0)
        truth_N = logits_KN.gather(0, y[None])[0] - highest_N
        share_KN = logits_KN.sub_(highest_N).exp_()
        total_N = share_KN.sum(0)
        value = (total_N.log() - truth_N).mean() + decay / 2 * weight_KR.square().sum()
        share_KN.div_(total_N).scatter_add_(0, y[None], share_KN.new_tensor(-1.0).expand(1, count))
        slope_KR = (share_KN @ z / count + decay * weight_KR) * scale_R
        return value, torch.cat((slope_KR, share_KN.mean(1, keepdim=True)), 1)

    found_KR = descend(loss, torch.cat((start.weight.T / scale_R, start.bias[:, None]), 1), steps, tolerance)
    return Fit((found_KR[:, :-1] * scale_R).T, found_KR[:, -1])


def hold_out(y: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Positions in ``y[N]`` to fit on and to choose C on: stratified, one of each class held out where it has two."""
    order = shuffled(torch.arange(len(y)), seed)
    counts = torch.bincount(y)
    wanted = torch.minimum(quotas(counts, share).clamp(min=1), (counts - 1).clamp(min=0))
    held = torch.zeros(len(y), dtype=torch.bool).index_fill_(0, order[first_of_each(y[order], wanted)], True)
    return torch.nonzero(~held)[:, 0], torch.nonzero(held)[:, 0]


def choose(
    z: Tensor, y: Tensor, classes: int, grid: tuple[float, ...], share: float, seed: int, steps: int
) -> tuple[float, Fit | None]:
    """The C of ``grid`` that does best on a held-out share of ``z[N, R]``, and its fit to the rest; ties of accuracy go
    to the lower loss."""
    if len(grid) == 1:
        return grid[0], None
    fitted, held = hold_out(y, share, seed)
    if not len(held):
        return 1.0, None
    fitted_z, fitted_y, held_z, held_y = z[fitted], y[fitted], z[held], y[held]
    path: list[Fit] = []
    found: list[tuple[float, float, float, Fit]] = []
    for C in sorted(grid):  # from strong to weak: each fit starts where the last two point
        start = path[-1].beyond(path[-2]) if len(path) > 1 else path[-1] if path else None
        model = fit(fitted_z, fitted_y, classes, C, start=start, steps=steps)
        path.append(model)
        logits = model(held_z)
        right = (logits.argmax(1) == held_y).float().mean().item()
        found.append((right, -F.cross_entropy(logits, held_y).item(), C, model))
    _, _, C, model = max(found, key=lambda one: one[:2])
    return C, model


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
            C, start = choose(z, target, len(known), self.grid, self.holdout, self.seed, self.steps)
            model = fit(z, target, len(known), C, start=start, steps=self.steps)
        return known, model(test_x @ axes)

    def __call__(self, train: Embedded, test: Embedded) -> dict[str, float]:
        return classification(*self.predict(train, test))

    def guess(self, train: Embedded, test: Embedded) -> dict[str, float]:
        """What a guess scores that knows the classes of train."""
        _, train_y, _, test_y = require_labels(train, test)
        return class_chance(train_y, test_y)
