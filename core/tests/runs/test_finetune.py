"""Fine-tuning: its schedule, that it learns, and that it leaves the run's encoder as it is."""

import itertools

import pytest
import torch

import unlabeled
from unlabeled.runs.finetune import factor


def test_the_rate_rises_then_falls():
    rates = [factor(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert 0 < rates[-1] < 1e-3


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_few_steps_have_a_rate(steps):
    assert all(0 < factor(step, steps) <= 1 for step in range(steps))


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_it_learns_and_leaves_the_encoder(toy, norm):
    run = unlabeled.pretrain(
        "toy", out="run", epochs=0, batch_size=16, tensorboard=False, encoder={"norm": norm}, say=lambda line: None
    )
    before = {name: value.clone() for name, value in run.encoder.state_dict().items()}
    state = torch.get_rng_state()
    found = unlabeled.finetune(run, epochs=20, batch_size=16, lr=0.01)
    assert torch.equal(torch.get_rng_state(), state)
    assert (found.train, found.test, found.classes) == (51, 13, 4)
    assert found.chance < 0.5
    assert min(found.accuracy["pre-trained"] + found.accuracy["from scratch"]) > 0.7
    for name, value in run.encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not run.encoder.training


def test_views_by_name(toy):
    run = unlabeled.pretrain("toy", out="run", epochs=0, batch_size=16, tensorboard=False, say=lambda line: None)
    found = unlabeled.finetune(run, epochs=1, batch_size=16, views="noise")
    assert "views noise" in found.text()
