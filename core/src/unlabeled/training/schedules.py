"""The factor on the learning rate at each step: warm-up, then cosine, constant, steps, linear, or infinite.

Warm-up is linear from 0 and reaches 1 at its end, as in https://arxiv.org/abs/1706.02677. Cosine is one period of
SGDR, https://arxiv.org/abs/1608.03983, with no restart. Infinite is https://arxiv.org/abs/2503.02844 (its "Inf Cos"):
warm-up, cosine cooldown to a constant, a plateau that can be prolonged for as long as data comes, and a short
exponential annealing.

A schedule is called with a step, counted from 0, that may lie between two steps: under a budget of minutes, the
position is the share of the budget that is spent. All lengths are shares of the run, so that one recipe serves any
number of steps.
"""

import math


def warm(step: float, length: float) -> float:
    """Linear warm-up over ``length`` steps: the first step has 1 / length, so that no step is lost at rate 0."""
    return min(1.0, (step + 1) / length) if length >= 1 else 1.0


def cosine(t: float, floor: float) -> float:
    """From 1 at t = 0 to ``floor`` at t = 1."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(max(t, 0.0), 1.0)))


def exponential(t: float, start: float, end: float) -> float:
    """From ``start`` at t = 0 to ``end`` at t = 1, by equal ratios."""
    return start * (end / start) ** min(max(t, 0.0), 1.0)


def _share(name: str, value: float, *, least: float = 0.0) -> float:
    if not least <= value <= 1:
        raise ValueError(f"{name} is {value}; it must be a share in [{least:g}, 1]")
    return value


def _after(step: float, steps: int, warmup: float) -> float:
    """The share of what comes after the warm-up that is done: 0 to 1."""
    start = warmup * steps
    return (step - start) / max(1.0, steps - start)


class Cosine:
    """Warm-up, then half a cosine period down to a floor.

    Args:
        warmup: share of the run in which the rate rises linearly, in [0, 1].
        floor: factor at the end, in [0, 1].
    """

    def __init__(self, steps: int, *, warmup: float = 0.1, floor: float = 0.0):
        self.steps, self.warmup, self.floor = steps, _share("warmup", warmup), _share("floor", floor)

    def __call__(self, step: float) -> float:
        rise = warm(step, self.warmup * self.steps)
        return rise * cosine(_after(step, self.steps, self.warmup), self.floor)


class Constant:
    """Warm-up, then constant.

    Args:
        warmup: share of the run in which the rate rises linearly, in [0, 1].
    """

    def __init__(self, steps: int, *, warmup: float = 0.0):
        self.steps, self.warmup = steps, _share("warmup", warmup)

    def __call__(self, step: float) -> float:
        return warm(step, self.warmup * self.steps)


class Step:
    """Warm-up, then a drop at each milestone.

    Args:
        warmup: share of the run in which the rate rises linearly, in [0, 1].
        milestones: shares of the run at which the rate drops, rising, in (0, 1).
        drop: factor of each drop, in (0, 1].
    """

    def __init__(
        self, steps: int, *, warmup: float = 0.0, milestones: tuple[float, ...] = (0.6, 0.8), drop: float = 0.1
    ):
        if list(milestones) != sorted(milestones) or not all(0 < m < 1 for m in milestones):
            raise ValueError(f"milestones are {milestones}; they must be rising shares in (0, 1)")
        if not 0 < drop <= 1:
            raise ValueError(f"drop is {drop}; it must be a factor in (0, 1]")
        self.steps, self.warmup, self.milestones, self.drop = steps, _share("warmup", warmup), milestones, drop

    def __call__(self, step: float) -> float:
        passed = sum(step >= m * self.steps for m in self.milestones)
        return warm(step, self.warmup * self.steps) * self.drop**passed


class Linear:
    """Warm-up, then linear to a floor.

    Args:
        warmup: share of the run in which the rate rises linearly, in [0, 1].
        floor: factor at the end, in [0, 1].
    """

    def __init__(self, steps: int, *, warmup: float = 0.1, floor: float = 0.0):
        self.steps, self.warmup, self.floor = steps, _share("warmup", warmup), _share("floor", floor)

    def __call__(self, step: float) -> float:
        t = min(max(_after(step, self.steps, self.warmup), 0.0), 1.0)
        return warm(step, self.warmup * self.steps) * (1 - (1 - self.floor) * t)


class Infinite:
    """Warm-up, cosine cooldown to a constant, a plateau, and a short exponential annealing.

    Args:
        warmup: share of the run in which the rate rises linearly (N_w), in [0, 1].
        cooldown: share of the run in which the rate falls to the plateau, in [0, 1].
        annealing: share of the run at its end in which the rate falls to the floor, in [0, 1]; 0 = end on the
            plateau, to go on with more data later.
        plateau: factor of the constant phase (eta_const / eta_max), in (0, 1].
        floor: factor at the end (eta_min / eta_max), in (0, plateau].
    """

    def __init__(
        self,
        steps: int,
        *,
        warmup: float = 0.1,
        cooldown: float = 0.3,
        annealing: float = 0.1,
        plateau: float = 0.5,
        floor: float = 0.01,
    ):
        shares = _share("warmup", warmup), _share("cooldown", cooldown), _share("annealing", annealing)
        if sum(shares) > 1 + 1e-9:
            raise ValueError(f"warmup, cooldown and annealing are {shares}; together they must be at most 1")
        if not 0 < plateau <= 1:
            raise ValueError(f"plateau is {plateau}; it must be a factor in (0, 1]")
        if not 0 < floor <= plateau:
            raise ValueError(f"floor is {floor}; it must be a factor in (0, {plateau}], since annealing is exponential")
        self.steps, self.plateau, self.floor = steps, plateau, floor
        self.warmup, self.cooldown, self.annealing = shares

    def __call__(self, step: float) -> float:
        rise, fall = self.warmup * self.steps, self.cooldown * self.steps
        last = self.annealing * self.steps
        if step < rise:
            return warm(step, rise)
        if step < rise + fall:
            return cosine((step - rise) / fall, self.plateau)
        if step < self.steps - last:
            return self.plateau
        return exponential((step - (self.steps - last)) / last, self.plateau, self.floor) if last else self.plateau
