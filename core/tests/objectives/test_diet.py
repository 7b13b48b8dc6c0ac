"""DIET: smoothed cross-entropy of each sample's own number."""

import math

import pytest
import torch

from unlabeled.objectives.diet import DIET
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def test_equals_the_smoothed_cross_entropy_term_by_term():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = DIET(encoder, 10, smoothing=0.8)
    views = toy_views(toy_batch([7, 2, 5]), ("global",))
    scores = objective.head(encoder(views[0]).pooled).double().tolist()
    terms = []
    for row, sample in zip(scores, (7, 2, 5)):
        norm = math.log(sum(math.exp(s) for s in row))
        target = [0.8 / 10 + (0.2 if n == sample else 0) for n in range(10)]
        terms.append(-sum(t * (s - norm) for t, s in zip(target, row)))
    assert objective(encoder, views).total.item() == pytest.approx(sum(terms) / 3, rel=1e-5)


def test_it_learns_which_sample_is_which():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = DIET(encoder, 6)
    optimizer = torch.optim.Adam([*encoder.parameters(), *objective.parameters()], lr=0.05)
    views = toy_views(toy_batch(range(6)), ("global",))
    for _ in range(40):
        optimizer.zero_grad()
        loss = objective(encoder, views)
        loss.total.backward()
        optimizer.step()
    assert loss.parts["accuracy"] == 1
