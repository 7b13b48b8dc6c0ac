"""MoCo v2 and v3 against info_nce and golden values; the queue as training fills it."""

import pytest
import torch
import torch.nn.functional as F
from info_nce import InfoNCE

from unlabeled.contract import Progress
from unlabeled.nn.clock import after_step
from unlabeled.nn.heads import unit
from unlabeled.objectives.moco import MoCoV2, MoCoV3, moco_v3_loss
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def test_v3_golden_value():
    torch.manual_seed(0)
    z1, z2 = torch.randn(64, 32), torch.randn(64, 32)
    z2 = 0.5 * z1 + 0.5 * z2
    for chunk in (0, 10):
        assert moco_v3_loss(unit(z1), unit(z2), 0.2, chunk=chunk).item() == pytest.approx(0.497944, rel=2e-6)
    peer = 2 * 0.2 * InfoNCE(temperature=0.2)(z1, z2)
    torch.testing.assert_close(moco_v3_loss(unit(z1), unit(z2), 0.2), peer, rtol=1e-5, atol=0)


@pytest.fixture
def v2():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    return encoder, MoCoV2(encoder, projector=(16, 8), queue=10, temperature=0.3)


def test_v2_equals_peer(v2):
    encoder, objective = v2
    views = toy_views(toy_batch(range(4)))
    q = objective.projector(encoder(views[0]).pooled)
    k = objective.teacher(views[1])
    peer = InfoNCE(temperature=0.3, negative_mode="unpaired")(q, k, objective.queue.contents)
    torch.testing.assert_close(objective(encoder, views).total, peer, rtol=1e-5, atol=0)


def test_v2_queue_holds_the_keys_of_past_steps_and_not_of_this_one(v2):
    encoder, objective = v2
    views = toy_views(toy_batch(range(4)))
    start = objective.queue.contents.clone()
    objective(encoder, views).total.backward()
    assert torch.equal(objective.queue.contents, start)
    keys = F.normalize(objective.teacher(views[1]), dim=1)
    after_step(objective, encoder, Progress(1, 10))
    torch.testing.assert_close(objective.queue.contents[:4], keys, rtol=1e-5, atol=1e-6)
    assert torch.equal(objective.queue.contents[4:], start[4:])
    assert objective.queue.pointer == 4


def test_v2_takes_in_every_micro_step_of_an_accumulated_step(v2):
    encoder, objective = v2
    for ids in (range(3), range(3, 6)):
        objective(encoder, toy_views(toy_batch(ids))).total.backward()
    after_step(objective, encoder, Progress(1, 10))
    assert objective.queue.pointer == 6


def test_v2_leaves_its_queue_alone_in_evaluation(v2):
    encoder, objective = v2
    objective.eval()
    objective(encoder, toy_views(toy_batch(range(4))))
    after_step(objective, encoder, Progress(1, 10))
    assert objective.queue.pointer == 0


def test_v3_equals_peer():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = MoCoV3(encoder, projector=(16, 16, 8), predictor=16, temperature=0.2)
    views = toy_views(toy_batch(range(8)))
    q1, q2 = (objective.predictor(objective.projector(encoder(view).pooled)) for view in views)
    k1, k2 = (objective.teacher(view) for view in views)
    peer = InfoNCE(temperature=0.2)
    expected = 2 * 0.2 * (peer(q1, k2) + peer(q2, k1))
    loss = objective(encoder, views)
    torch.testing.assert_close(loss.total, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(loss.parts["info_nce"], (peer(q1, k2) + peer(q2, k1)).detach() / 2, rtol=1e-5, atol=0)
