"""Relational reasoning: pairs of one sample are the positives, the next sample by id the negatives."""

import pytest
import torch
import torch.nn.functional as F

from unlabeled.objectives.relational import Relational, focal, partners
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 9])
def test_partners_are_others_whatever_the_order(distance):
    ids = torch.tensor([4, 9, 1, 7])
    found = partners(ids, distance)
    assert (found != torch.arange(4)).all()
    assert sorted(found.tolist()) == [0, 1, 2, 3]
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(ids[order][partners(ids[order], distance)], ids[found][order])


def test_focal_weighs_by_what_is_missed():
    scores, same = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, 1.0, 0.0])
    p = torch.sigmoid(scores)
    truth = torch.where(same == 1, p, 1 - p)
    torch.testing.assert_close(focal(scores, same, 2.0), (-((1 - truth) ** 2) * truth.log()).mean())
    torch.testing.assert_close(focal(scores, same, 0.0), F.binary_cross_entropy_with_logits(scores, same))


def test_the_loss_asks_for_one_of_own_pairs_and_zero_of_others():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = Relational(encoder, hidden=12, gamma=0.0)
    views = toy_views(toy_batch(range(6)))
    a, b = (encoder(view).pooled for view in views)
    rows = torch.cat((torch.cat((a, b), 1), torch.cat((a, b.roll(-1, 0)), 1)))
    same = torch.tensor([1.0] * 6 + [0.0] * 6)
    wanted = F.binary_cross_entropy_with_logits(objective.relation(rows)[:, 0], same)
    found = objective(encoder, views)
    torch.testing.assert_close(found.total, wanted)
    right = ((objective.relation(rows)[:, 0] > 0) == same.bool()).float().mean()
    assert found.parts["accuracy"] == right != 0.5
