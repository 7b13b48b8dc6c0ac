"""BGRL: lightly's cosine of a prediction with a teacher that is the encoder alone."""

import torch
from lightly.loss import NegativeCosineSimilarity

from unlabeled.objectives.bgrl import BGRL
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def test_equals_lightly_in_both_directions_with_no_gradient_to_the_teacher():
    torch.manual_seed(0)
    encoder, negative = ToyEncoder(), NegativeCosineSimilarity()
    objective = BGRL(encoder, predictor=16)
    views = toy_views(toy_batch(range(12)))
    p, z = ([head(encoder(view).pooled) for view in views] for head in (objective.predictor, torch.nn.Identity()))
    loss = objective(encoder, views).total
    torch.testing.assert_close(loss, 2 + negative(p[0], z[1]) + negative(p[1], z[0]), rtol=1e-5, atol=1e-6)
    loss.backward()
    assert all(weight.grad is None for weight in objective.teacher.parameters())
