"""State of checkpoints that were written under other names."""

from typing import ClassVar

import pytest
import torch
from torch import nn

from unlabeled.nn.clock import Clock
from unlabeled.nn.teacher import Frozen, Teacher
from unlabeled.training.former import UNDECAYED, regrouped, renamed
from unlabeled.training.optimizers import LAMB, adamw, decays, parameter_groups


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


class Vit(nn.Module):
    """A class token that once decayed, as its name did not tell, and a predictor that is steady today."""

    steady = ("predictor",)

    def __init__(self):
        super().__init__()
        self.prefix = nn.Parameter(torch.randn(2, 3))
        self.body, self.predictor = nn.Linear(3, 4), nn.Linear(4, 5)

    def forward(self):
        return self.predictor(self.body(self.prefix)).square().sum()


@pytest.mark.parametrize("make", [adamw, LAMB])
def test_an_optimizers_state_finds_its_parameters_in_the_groups_of_today(make):
    model = Vit()
    told = decays(model, undecayed=UNDECAYED)
    former = make([
        {"params": [p for p, decayed in told if decayed]},
        {"params": [p for p, decayed in told if not decayed], "weight_decay": 0.0},
    ])  # fmt: skip
    model().backward()
    former.step()
    today = make(parameter_groups(model))
    today.load_state_dict(regrouped(former.state_dict(), model))
    assert [len(group["params"]) for group in today.param_groups] == [1, 2, 1, 1]
    assert [group.get("steady", False) for group in today.param_groups] == [False, False, True, True]
    assert [group["weight_decay"] > 0 for group in today.param_groups] == [True, False, True, False]
    for p in model.parameters():
        assert today.state[p].keys() == former.state[p].keys()
        assert all(torch.equal(today.state[p][name], former.state[p][name]) for name in former.state[p])
    assert [g.get("step") for g in today.param_groups] == [former.param_groups[0].get("step")] * 4
    assert regrouped(today.state_dict(), model) == today.state_dict()
