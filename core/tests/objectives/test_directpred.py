"""DirectPred: the predictor is the closed form of its inputs' correlation, and no gradient makes it."""

import torch

from unlabeled.contract import Progress
from unlabeled.nn.cosine import across
from unlabeled.objectives.directpred import DirectPred, predictor_of
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def test_the_predictor_has_roots_of_the_spectrum_and_a_share_of_its_top():
    torch.manual_seed(0)
    x = torch.randn(50, 5).double()
    f = x.T @ x / 50
    s, u = torch.linalg.eigh(f)
    wanted = sum((s[j].sqrt() + 0.1 * s.max()) * torch.outer(u[:, j], u[:, j]) for j in range(5))
    torch.testing.assert_close(predictor_of(f, 0.1), wanted)


def made():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    return encoder, DirectPred(encoder, projector=(12, 6), average=0.4, every=2), toy_views(toy_batch(range(8)))


def test_the_loss_is_byols_of_the_predictor():
    encoder, objective, views = made()
    objective.weight.copy_(torch.diag(torch.arange(1.0, 7.0)))
    loss = objective(encoder, views)
    z = [objective.projector(encoder(view).pooled) for view in views]
    wanted = 2 - 2 * across([x @ objective.weight for x in z], [objective.teacher(view) for view in views])
    torch.testing.assert_close(loss.total, wanted)
    assert not objective.weight.requires_grad


def test_the_correlation_is_a_moving_average_and_the_predictor_follows_it_every_second_step():
    encoder, objective, views = made()
    found = []
    for step in (1, 2):
        objective(encoder, views)
        z = torch.cat([objective.projector(encoder(view).pooled) for view in views]).detach()
        found.append(z.T @ z / len(z))
        objective.after_step(encoder, Progress(step, 10))
        if step == 1:
            torch.testing.assert_close(objective.correlation, found[0])
            assert torch.equal(objective.weight, torch.eye(6))
            with torch.no_grad():
                for parameter in encoder.parameters():
                    parameter.mul_(1.5)
    torch.testing.assert_close(objective.correlation, 0.4 * found[0] + 0.6 * found[1])
    torch.testing.assert_close(objective.weight, predictor_of(objective.correlation, 0.1))
