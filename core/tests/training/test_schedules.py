import math

import pytest
import torch

from unlabeled.training.schedules import Constant, Cosine, Infinite, Linear, Step

ALL = [Cosine, Constant, Step, Linear, Infinite]


def test_cosine_equals_torch():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.2)
    ours = Cosine(50, warmup=0.0, floor=0.2)
    for step in range(50):
        assert ours(step) == pytest.approx(torchs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        torchs.step()


def test_linear_equals_torch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    torchs = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.3, total_iters=40)
    ours = Linear(40, warmup=0.0, floor=0.3)
    for step in range(40):
        assert ours(step) == pytest.approx(torchs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        torchs.step()


def test_step_drops_at_its_milestones():
    schedule = Step(100, milestones=(0.5, 0.9), drop=0.1)
    assert [schedule(s) for s in (0, 49, 50, 89, 90, 99)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_infinite_has_the_four_phases_of_the_paper():
    schedule = Infinite(1000, warmup=0.1, cooldown=0.3, annealing=0.1, plateau=0.5, floor=0.05)
    assert schedule(49) == pytest.approx(0.5)  # half of the warm-up
    assert schedule(100) == pytest.approx(1.0)
    assert schedule(250) == pytest.approx(0.75)  # half of the cosine cooldown from 1 to 0.5
    assert {schedule(s) for s in (400, 600, 899)} == {0.5}
    assert schedule(950) == pytest.approx(math.sqrt(0.5 * 0.05))  # half of an exponential annealing
    assert schedule(1000) == pytest.approx(0.05)


def test_infinite_without_annealing_ends_on_the_plateau():
    assert Infinite(100, annealing=0.0)(100) == 0.5


@pytest.mark.parametrize("schedule", ALL)
@pytest.mark.parametrize("steps", [1, 7, 1000])
def test_factors_are_in_range_and_rise_only_while_warming(schedule, steps):
    made = schedule(steps, warmup=0.2)
    factors = [made(step) for step in range(steps + 1)]
    assert all(0 <= f <= 1 for f in factors)
    assert factors[0] > 0  # the first step is not lost
    after = [f for step, f in enumerate(factors) if step >= 0.2 * steps]
    assert after == sorted(after, reverse=True)


@pytest.mark.parametrize("schedule", ALL)
def test_a_step_between_two_is_between_them(schedule):
    """Under a budget of minutes the position is a share of the budget."""
    made = schedule(100, warmup=0.1)
    for step in (3, 30, 75):
        low, high = sorted((made(step), made(step + 1)))
        assert low <= made(step + 0.5) <= high


@pytest.mark.parametrize(
    ("schedule", "settings", "message"),
    [
        (Cosine, {"warmup": 1.5}, r"warmup is 1.5; it must be a share in \[0, 1\]"),
        (Cosine, {"floor": -1.0}, "floor is -1.0"),
        (Step, {"milestones": (0.8, 0.6)}, "must be rising shares"),
        (Step, {"drop": 0.0}, "drop is 0.0"),
        (Infinite, {"floor": 0.0}, r"floor is 0.0; it must be a factor in \(0, 0.5\]"),
        (Infinite, {"warmup": 0.5, "cooldown": 0.6}, "together they must be at most 1"),
        (Infinite, {"plateau": 2.0}, "plateau is 2.0"),
    ],
)
def test_errors_say_what_would_be_right(schedule, settings, message):
    with pytest.raises(ValueError, match=message):
        schedule(100, **settings)
