"""SwAV against lightly 1.6.0, and what its queue and its prototypes promise."""

import torch
import torch.nn.functional as F
from lightly.loss import SwaVLoss

from unlabeled.contract import Progress
from unlabeled.nn.clock import after_step
from unlabeled.objectives.swav import SwAV
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def toy(**settings):
    torch.manual_seed(0)
    encoder = ToyEncoder()
    settings = {"hidden": 16, "dim": 6, "prototypes": 10, "freeze": 0.0} | settings
    return encoder, SwAV(encoder, **settings)


def step(encoder, objective, number, ids=range(4)):
    loss = objective(encoder, toy_views(toy_batch(ids), ("global", "local", "global")))
    after_step(objective, encoder, Progress(number, 10))
    return loss


def test_all_views_predict_and_global_views_assign():
    encoder, objective = toy()
    views = toy_views(toy_batch(range(4)), ("global", "local", "global"))
    z = F.normalize(objective.projector(torch.cat([encoder(view).pooled for view in views])), dim=1)
    scores = (z @ objective.prototypes.T).chunk(3)
    expected = SwaVLoss()([scores[0], scores[2]], [scores[1]])
    torch.testing.assert_close(objective(encoder, views).total, expected[0], rtol=1e-5, atol=0)


def test_a_full_queue_takes_part_in_the_assignment():
    encoder, objective = toy(queue=8, queue_start=0.1)
    _, plain = toy()
    plain.load_state_dict(objective.state_dict(), strict=False)
    for number in (1, 2):  # two steps of four samples fill it
        torch.testing.assert_close(step(encoder, objective, number).total, step(encoder, plain, number).total)
    views = toy_views(toy_batch(range(4, 8)), ("global", "global"))
    z = F.normalize(objective.projector(torch.cat([encoder(view).pooled for view in views])), dim=1)
    scores = (z @ objective.prototypes.T).chunk(2)
    queued = [queue.contents @ objective.prototypes.T for queue in objective.queues]
    loss = objective(encoder, views).total
    torch.testing.assert_close(loss, SwaVLoss()(scores, [], queued)[0], rtol=1e-5, atol=0)
    assert not torch.allclose(loss, plain(encoder, views).total)


def test_a_full_queue_waits_for_its_start():
    encoder, objective = toy(queue=4, queue_start=0.5)
    _, plain = toy()
    plain.load_state_dict(objective.state_dict(), strict=False)
    same = []
    for number in range(1, 8):  # other samples each time: a queue of the same ones would change no code
        ids = range(4 * number, 4 * number + 4)
        losses = [step(encoder, each, number, ids).total for each in (objective, plain)]
        same.append(torch.isclose(*losses, rtol=1e-5).item())
    assert same == [True] * 5 + [False] * 2  # after five of ten steps


def test_prototypes_stand_still_while_frozen_and_have_length_one():
    encoder, objective = toy(freeze=0.2)
    for number in range(1, 4):
        loss = objective(encoder, toy_views(toy_batch(range(4))))
        (gradient,) = torch.autograd.grad(loss.total, [objective.prototypes])
        assert (gradient.abs().sum() > 0) == (number > 2)
        with torch.no_grad():
            objective.prototypes += 0.1
        after_step(objective, encoder, Progress(number, 10))
        torch.testing.assert_close(objective.prototypes.norm(dim=1), torch.ones(10))


def test_the_queues_hold_the_projections_of_the_first_two_global_views():
    encoder, objective = toy(queue=8)
    views = toy_views(toy_batch(range(4)), ("global", "global"))
    z = F.normalize(objective.projector(torch.cat([encoder(view).pooled for view in views])), dim=1).chunk(2)
    objective(encoder, views)
    after_step(objective, encoder, Progress(1, 10))
    for queue, expected in zip(objective.queues, z, strict=True):
        torch.testing.assert_close(queue.contents[:4], expected.detach())
