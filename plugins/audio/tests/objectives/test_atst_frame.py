"""ATST-Frame: hidden frames of one view meet the teacher's of the other, which sees all; and an ATST-Clip's vectors."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import Progress
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_hide, toy_views
from unlabeled_audio.objectives.atst_frame import ATSTBoth, ATSTFrame, cosine_distance

SMALL = {"projector": (8, 6), "predictor": 8}


def start(make, *frozen, **settings):
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = make(encoder, *frozen, **SMALL, **settings)
    with torch.no_grad():
        for p in objective.parameters():
            p.add_(0.3 * torch.randn_like(p))
    pair = toy_views(toy_batch(range(4)), ("global", "global"), encoder)
    return encoder, objective, [toy_hide(view, 5, seed) for seed, view in enumerate(pair)]


def frames_by_hand(encoder, frame, views):
    losses = []
    for own, other in (views, views[::-1]):
        index = own.hidden.index
        guess = frame.predictor(frame.projector(encoder(own, hide="mask").tokens[index]))
        target = frame.teacher.projector(frame.teacher.encoder(other.clean()).tokens[index])
        losses.append((F.normalize(guess) - F.normalize(target)).square().sum(1))
    return torch.cat(losses).mean()


def test_cosine_distance_is_byols_and_moves_no_target():
    torch.manual_seed(0)
    p, t = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    torch.testing.assert_close(cosine_distance(p, t), (F.normalize(p) - F.normalize(t)).square().sum(1))
    cosine_distance(p, t).sum().backward()
    assert t.grad is None


def test_hidden_frames_meet_the_teachers_of_the_other_view():
    encoder, objective, views = start(ATSTFrame)
    found = objective(encoder, views)
    torch.testing.assert_close(found.total, frames_by_hand(encoder, objective, views))
    found.total.backward()
    assert not any(p.grad is not None for p in objective.teacher.parameters())


def test_the_clip_vector_meets_the_frozen_encoders_of_the_other_view():
    clip = ToyEncoder(depth=1)
    encoder, objective, views = start(ATSTBoth, clip, clip=0.7)
    found = objective(encoder, views)
    clips = [
        (F.normalize(objective.match(encoder(own, hide="mask").pooled)) - F.normalize(clip(other.clean()).pooled))
        for own, other in (views, views[::-1])
    ]
    expected = torch.cat(clips).square().sum(1).mean()
    torch.testing.assert_close(found.parts["clip"], expected.detach())
    torch.testing.assert_close(found.total, frames_by_hand(encoder, objective.frame, views) + 0.7 * expected)


@pytest.mark.parametrize("make", [ATSTFrame, ATSTBoth])
def test_the_teacher_follows_ever_more_slowly(make):
    encoder, objective, _ = start(make, momentum=0.5)
    frame = getattr(objective, "frame", objective)
    for step, momentum in ((0, 0.5), (5, 0.75), (10, 1.0)):
        before = frame.teacher.encoder.cls.clone()
        with torch.no_grad():
            encoder.cls.copy_(before + 1)
        objective.after_step(encoder, Progress(step, 10))
        torch.testing.assert_close(frame.teacher.encoder.cls, before + 1 - momentum)


def test_views_of_different_frames_are_refused():
    encoder, objective, views = start(ATSTFrame)
    (short,) = toy_views(toy_batch(range(4), (1, 8, 4)), ("global",), encoder)
    with pytest.raises(ValueError, match="choose views that keep time"):
        objective(encoder, [views[0], replace(toy_hide(short, 5), role="global")])
