"""The other objectives against their formulas written out, and what their papers promise."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import Layout
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views
from unlabeled_audio.objectives.atst_frame import cosine_distance
from unlabeled_audio.objectives.invariant_units import (
    InvariantUnits,
    ctc_loss,
    without_repeats,
)


def ragged(*lengths):
    return Layout(lengths, torch.zeros(sum(lengths), 1))


def test_cosine_distance_is_byols():
    torch.manual_seed(0)
    p, t = torch.randn(6, 4), torch.randn(6, 4)
    torch.testing.assert_close(cosine_distance(p, t), (F.normalize(p) - F.normalize(t)).square().sum(1))


def test_units_without_repeats_and_their_distance():
    ids = torch.tensor([1, 1, 2, 2, 2, 1, 1, 3])
    clean = without_repeats(ids, ragged(6, 2))
    assert [c.tolist() for c in clean] == [[1, 2, 1], [1, 3]]


def test_ctc_is_the_sum_over_alignments():
    torch.manual_seed(0)
    scores = torch.randn(3, 3)  # three frames, two units and the blank
    p = scores.softmax(1)
    a, b, blank = 0, 1, 2
    paths = [(a, b, blank), (a, b, b), (a, a, b), (a, blank, b), (blank, a, b)]
    expected = -math.log(sum(math.prod(p[t, u].item() for t, u in enumerate(path)) for path in paths)) / 2
    found = ctc_loss(scores, ragged(3), [torch.tensor([a, b])])
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert ctc_loss(scores, ragged(3), [torch.tensor([a, b, a, b])]).item() == 0


def test_a_frozen_encoder_gives_its_features_without_dropout_and_does_not_change():
    encoder = ToyEncoder(4, dropout=0.5)
    objective = InvariantUnits(encoder, 5, hidden=8, frozen=True)
    encoder.train()
    source, altered = toy_views(toy_batch(range(3), (8, 4)), ("source", "altered"), encoder)
    views = [replace(source, ids=torch.arange(24) % 5), altered]
    losses = [objective(encoder, views).total for _ in range(2)]
    losses[0].backward()
    assert torch.equal(*losses)
    assert encoder.training
    assert not any(p.requires_grad for p in encoder.parameters())
    assert all(p.grad is not None for p in objective.parameters())
