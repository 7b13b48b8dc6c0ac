import math

import pytest
import torch
from torch import nn

from unlabeled.contract import Features, Layout
from unlabeled.plugins.core import ROWS
from unlabeled.plugins.registry import resolve
from unlabeled.training.collapse import PATIENCE, UNKNOWN, Watch, rank_of


def test_rank_of_equal_directions_is_their_number():
    x = torch.cat([torch.eye(8), -torch.eye(8)])  # centered, eight equal singular values
    assert rank_of(x) == pytest.approx(8, rel=1e-6)
    assert rank_of(x @ torch.randn(8, 40)) <= 8.001
    assert rank_of(x.T) == pytest.approx(8, abs=1)  # fewer rows than columns


def test_rank_equals_its_definition():
    torch.manual_seed(0)
    x = torch.randn(30, 12).double()
    sigma = torch.linalg.svdvals(x - x.mean(0))
    p = sigma / sigma.sum()
    assert rank_of(x) == pytest.approx(math.exp(-(p * p.log()).sum()), rel=1e-6)


def test_points_and_lines_have_rank_near_0_and_1():
    assert rank_of(torch.ones(20, 5)) == 0
    assert rank_of(torch.randn(20, 1) * torch.randn(1, 5)) == pytest.approx(1, abs=1e-3)


class Encoder(nn.Module):
    def __init__(self, spread):
        super().__init__()
        self.spread = spread

    def forward(self, count=32):
        torch.manual_seed(0)
        x = torch.ones(count, 16) + self.spread * torch.randn(count, 16)
        return Features(x, Layout((1,) * count, torch.zeros(count, 0)), x)


def watch(spread):
    encoder, objective = Encoder(spread), nn.Module()
    objective.projector = nn.Linear(16, 12)
    return Watch(encoder, objective, "byol"), encoder


def test_a_row_has_rank_and_deviation_at_encoder_and_projector():
    watching, encoder = watch(1.0)
    watching.arm()
    watching.objective.projector(encoder().pooled)
    row, collapsed = watching.read({})
    assert set(row) == {"rank", "deviation", "projector_rank", "projector_deviation"}
    assert collapsed == ""
    assert row["rank"] > 8


def test_nothing_is_kept_on_other_steps():
    watching, encoder = watch(1.0)
    encoder()
    assert watching.read({}) == ({}, "")


def test_a_collapse_that_lasts_is_told_with_its_likely_cause():
    watching, encoder = watch(1e-4)
    found = []
    for _ in range(PATIENCE):
        watching.arm()
        encoder()
        found.append(watching.read({})[1])
    assert found[:-1] == [""] * (PATIENCE - 1)
    assert "deviation at the encoder" in found[-1]
    assert watching.message(found[-1]).endswith(f"Likely cause for byol: {UNKNOWN}")
    watching.objective.cause = "a teacher that moves too fast"
    assert watching.message(found[-1]).endswith("Likely cause for byol: a teacher that moves too fast")


def test_one_good_row_starts_the_count_again():
    watching, encoder = watch(1e-4)
    for spread in [1e-4] * (PATIENCE - 1) + [1.0] + [1e-4] * (PATIENCE - 1):
        encoder.spread = spread
        watching.arm()
        encoder()
        assert watching.read({})[1] == ""


def test_dead_codes_and_constant_targets_are_a_collapse():
    for parts in ({"code_perplexity": 1.0}, {"target_std": 1e-4}, {"local_std": 1e-4}):
        watching, _ = watch(1.0)
        found = [watching.read(parts)[1] for _ in range(PATIENCE)][-1]
        assert next(iter(parts)) in found


def test_every_objective_of_core_says_its_cause():
    for row in ROWS:
        if row.kind == "objective":
            assert isinstance(resolve(row).cause, str), row.name
