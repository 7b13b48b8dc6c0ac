"""State of checkpoints that were written under other names."""

from typing import ClassVar

import torch
from torch import nn

from unlabeled.nn.clock import Clock
from unlabeled.nn.teacher import Frozen, Teacher
from unlabeled.training.former import renamed


class Run(nn.Module):
    """What a checkpoint is of: an objective under its name."""

    def __init__(self, objective):
        super().__init__()
        self.objective = objective


class Merged(nn.ModuleDict):
    """What held another objective, and holds its parts today."""

    former: ClassVar = {"inner.": ""}


def check(former, kind=nn.ModuleDict, **parts):
    model = Run(kind(parts))
    found = renamed(former, model)
    model.load_state_dict(found)
    return found


def test_copies_of_a_teacher_have_names():
    weight, bias = torch.randn(2, 2), torch.randn(2)
    former = {"objective.teacher.copies.0.weight": weight, "objective.teacher.copies.0.bias": bias}
    found = check(former, teacher=Teacher(encoder=nn.Linear(2, 2)))
    assert torch.equal(found["objective.teacher.encoder.weight"], weight)


def test_steps_that_an_objective_held_stand_in_its_clock():
    found = check({"objective.step": torch.tensor(7)}, clock=Clock())
    assert found["objective.clock.step"] == 7
    found = check({"objective.done": torch.tensor(0.5)}, clock=Clock())
    assert found["objective.clock.fraction"] == 0.5


def test_an_encoder_that_stays_is_left_to_its_run_folder():
    former = {"objective.teacher.weight": torch.ones(2, 2), "objective.teacher.bias": torch.ones(2)}
    assert check(former, teacher=Frozen(nn.Linear(2, 2))) == {}
    found = check(former, teacher=Frozen(None, nn.Linear(2, 2)))
    assert torch.equal(found["objective.teacher.start.bias"], torch.ones(2))
    assert check(found, teacher=Frozen(None, nn.Linear(2, 2))).keys() == found.keys()


def test_an_objective_says_what_it_was_called_before():
    former = {"objective.inner.head.weight": torch.ones(1, 2), "objective.inner.head.bias": torch.ones(1)}
    former |= {"objective.inner.step": torch.tensor(3), "objective.done": torch.tensor(0.1)}
    found = check(former, Merged, head=nn.Linear(2, 1), clock=Clock())
    assert found["objective.clock.step"] == 3
    assert found["objective.clock.fraction"] == torch.tensor(0.1)
