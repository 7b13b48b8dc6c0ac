"""State of checkpoints that were written under other names."""

import torch
from torch import nn

from unlabeled.nn.clock import Clock
from unlabeled.nn.teacher import Frozen, Teacher
from unlabeled.training.former import renamed


class Run(nn.Module):
    """What a checkpoint is of: an objective under its name."""

    def __init__(self, **parts):
        super().__init__()
        self.objective = nn.ModuleDict(parts)


def check(former, **parts):
    model = Run(**parts)
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


def test_what_vega_held_inside_it_holds_itself():
    former = {"objective.rtd.head.weight": torch.ones(1, 2), "objective.rtd.head.bias": torch.ones(1)}
    former |= {"objective.rtd.step": torch.tensor(3), "objective.done": torch.tensor(0.1)}
    found = check(former, head=nn.Linear(2, 1), clock=Clock())
    assert found["objective.clock.step"] == 3
    assert found["objective.clock.fraction"] == torch.tensor(0.1)
