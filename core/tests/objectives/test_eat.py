"""EAT: from visible patches, a teacher's averaged layers at the hidden ones, and its mean from the summary."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import Progress
from unlabeled.objectives.eat import EAT, summary_of
from unlabeled.testing.toys import ToyDecoder, ToyEncoder, toy_batch, toy_hide, toy_views


def start(**settings):
    torch.manual_seed(0)
    encoder = ToyEncoder(depth=3)
    objective = EAT(encoder, ToyDecoder, layers=2, **settings)
    with torch.no_grad():
        for p in objective.teacher.parameters():
            p.add_(0.3 * torch.randn_like(p))
    view, other = toy_views(toy_batch(range(4)), ("global", "global"), encoder)
    return encoder, objective, [toy_hide(view, 6, 0), toy_hide(view, 6, 1), toy_hide(other, 6, 2)]


@pytest.mark.parametrize("norm", [True, False])
def test_hidden_patches_and_the_summary_meet_the_teachers(norm):
    encoder, objective, views = start(norm=norm, utterance=0.7)
    frames, summaries = [], []
    for view in views:
        layers = objective.teacher.encoder(view.clean(), layers=(1, 2)).layers
        mean = (
            sum(
                torch.cat([(x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt() for x in f.tokens.split(16)])
                for f in layers
            )
            / 2
        )
        target = F.layer_norm(mean, (8,)) if norm else mean
        out = encoder(view, hide="drop")
        whole = objective.token.repeat(64, 1)
        whole = whole.index_copy(0, out.kept.index, out.tokens)
        guess = objective.decoder(whole, view.layout)
        frames.append((guess - target)[view.hidden.index].square().mean(1))
        pooled = torch.stack([x.mean(0) for x in target.split(16)])
        summaries.append((objective.summary(out.prefix[:, 0]) - pooled).square().mean(1))
    found = objective(encoder, views)
    torch.testing.assert_close(found.total, torch.cat(frames).mean() + 0.7 * torch.cat(summaries).mean())
    found.total.backward()
    assert not any(p.grad is not None for p in objective.teacher.parameters())


def test_the_teacher_follows_by_a_ramp():
    encoder, objective, _ = start(momentum=0.5, final_momentum=0.9, ramp=0.2)
    for step, momentum in ((0, 0.5), (1, 0.7), (9, 0.9)):
        before = objective.teacher.encoder.cls.clone()
        with torch.no_grad():
            encoder.cls.copy_(before + 1)
        objective.after_step(encoder, Progress(step, 10))
        torch.testing.assert_close(objective.teacher.encoder.cls, before + 1 - momentum)


def test_the_summary_is_the_class_token_where_there_is_one():
    encoder, _, views = start()
    out = encoder(views[0])
    assert torch.equal(summary_of(out), out.prefix[:, 0])
    for none in (None, out.prefix[:, :0]):
        assert torch.equal(summary_of(replace(out, prefix=none)), out.pooled)
