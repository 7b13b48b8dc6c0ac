"""COLA: its similarity is a bilinear form."""

import torch
import torch.nn.functional as F

from unlabeled.objectives.cola import COLA, bilinear_scores
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def test_scores_are_a_w_b_pair_by_pair():
    torch.manual_seed(0)
    a, b, w = torch.randn(3, 4), torch.randn(5, 4), torch.randn(4, 4)
    expected = torch.stack([torch.stack([x @ w @ y for y in b]) for x in a])
    torch.testing.assert_close(bilinear_scores(a, b, w), expected)


def test_each_segment_asks_for_the_other_of_its_clip_among_all_clips():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = COLA(encoder, width=6)
    views = toy_views(toy_batch(range(7)), noise=1.0)
    found = objective(encoder, views)
    a, b = (objective.projector(encoder(view).pooled) for view in views)
    asked = [x @ objective.weight @ y.T for x, y in ((a, b), (b, a))]
    torch.testing.assert_close(found.total, sum(F.cross_entropy(s, torch.arange(7)) for s in asked) / 2)
    right = [float((s.argmax(1) == torch.arange(7)).float().mean()) for s in asked]
    assert found.parts["accuracy"].item() == sum(right) / 2 != 0.5
