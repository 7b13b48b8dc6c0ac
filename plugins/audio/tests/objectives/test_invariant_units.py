"""Invariant units: the altered clip, whatever its pace, says the clean one's units; what a frozen encoder keeps."""

import math
from dataclasses import replace

import pytest
import torch

from unlabeled.contract import Layout
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views
from unlabeled_audio.objectives.invariant_units import InvariantUnits, ctc_loss, without_repeats


def ragged(*lengths):
    return Layout(lengths, torch.zeros(sum(lengths), 1))


def views_of(encoder, ids):
    """A source of six rows a sample, and an altered view of four."""
    source = toy_views(toy_batch(range(3), (6, 4)), ("source",), encoder)[0]
    (altered,) = toy_views(toy_batch(range(3), (4, 4), seed=1), ("altered",), encoder)
    return replace(source, ids=ids), altered


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


@pytest.mark.parametrize("books", [1, 2])
def test_the_altered_view_says_the_units_of_the_source(books):
    torch.manual_seed(0)
    encoder = ToyEncoder(4)
    objective = InvariantUnits(encoder, 5, hidden=8)
    ids = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 4, 0, 0, 0, 0, 0])
    source, altered = views_of(encoder, ids if books == 1 else torch.stack([ids, ids.flip(0)], 1))
    scores = objective.quantizer(encoder(altered).tokens)
    expected = ctc_loss(scores, altered.layout, [torch.tensor(u) for u in ([0, 1, 2], [3], [4, 0])]).mean()
    torch.testing.assert_close(objective(encoder, [source, altered]).total, expected)
    torch.testing.assert_close(objective(encoder, [altered, source]).total, expected)


def test_a_frozen_encoder_gives_its_features_without_dropout_and_does_not_change():
    encoder = ToyEncoder(4, dropout=0.5)
    objective = InvariantUnits(encoder, 5, hidden=8, frozen=True)
    encoder.train()
    views = views_of(encoder, torch.arange(18) // 3 % 5)
    losses = [objective(encoder, views).total for _ in range(2)]
    losses[0].backward()
    assert torch.equal(*losses)
    assert encoder.training
    assert not any(p.requires_grad for p in encoder.parameters())
    assert all(p.grad is not None for p in objective.parameters())
    encoder = ToyEncoder(4, dropout=0.5).train()
    trained = InvariantUnits(encoder, 5, hidden=8)
    first, second = (trained(encoder, views).total for _ in range(2))
    assert not torch.equal(first, second)
    first.backward()
    assert encoder.embed.weight.grad.abs().max() > 0
