"""UnFuSeD: clean clips' clusters by a frozen encoder are labels of the altered clips' deepest and shallow layers."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import Progress
from unlabeled.errors import UsageError
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views
from unlabeled_audio.objectives.unfused import UnFuSeD, direction_error, divergence


def start(**settings):
    torch.manual_seed(0)
    encoder, stage_one = ToyEncoder(depth=3), ToyEncoder(depth=1)
    objective = UnFuSeD(encoder, stage_one, clusters=3, shallow=(0, 1), **settings)
    views = toy_views(toy_batch(range(6)), ("source", "altered"), encoder, noise=1.0)
    objective(encoder, views)  # clusters start on the first batch
    objective._pending = []
    return encoder, stage_one, objective, views


def labels_of(stage_one, objective, view):
    x = stage_one(view).pooled
    x = F.normalize(x - x.mean(0))
    return torch.cdist(x, F.normalize(objective.codebook.sums)).argmin(1), x


def test_the_loss_is_that_of_the_paper():
    encoder, stage_one, objective, views = start(labels=0.7, distillation=0.3, direction=0.5)
    labels, _ = labels_of(stage_one, objective, views[0])
    assert labels.unique().numel() > 1
    features = encoder(views[1], layers=(0, 1))
    deepest = objective.classify(features.pooled)
    expected = -deepest.log_softmax(1)[torch.arange(6), labels].mean()
    for head, layer in zip(objective.heads, features.layers, strict=True):
        scores, p = head(layer.pooled), deepest.softmax(1)
        expected = expected - 0.7 * scores.log_softmax(1)[torch.arange(6), labels].mean()
        expected = expected + 0.3 * (p * (p.log() - scores.log_softmax(1))).sum(1).mean()
        expected = expected + 0.5 * (2 - 2 * F.cosine_similarity(scores, deepest)).mean()
    torch.testing.assert_close(objective(encoder, views).total, expected)


def test_labels_are_the_frozen_encoders_of_the_clean_clip():
    encoder, stage_one, objective, views = start()
    objective(encoder, views)
    ((rows, ids, _),) = objective._pending
    labels, x = labels_of(stage_one, objective, views[0])
    assert torch.equal(ids, labels)
    torch.testing.assert_close(F.normalize(rows), x)
    other = replace(views[1], batch=replace(views[1].batch, x=views[1].batch.x + 1))
    objective(encoder, [views[0], other])
    assert torch.equal(objective._pending[1][1], ids)
    assert not any(p.requires_grad for p in stage_one.parameters())


def test_clusters_move_to_the_clips_and_not_in_evaluation():
    encoder, _, objective, views = start(decay=0.5)
    objective(encoder, views)
    ((rows, ids, _),) = objective._pending
    sums = objective.codebook.sums.clone()
    objective.after_step(encoder, Progress(1, 10))
    seen = F.one_hot(ids, 3).float().T @ F.normalize(rows)
    torch.testing.assert_close(objective.codebook.sums, (sums + seen) / 2)
    objective.eval()(encoder, views)
    assert not objective._pending


@pytest.mark.parametrize("term", [divergence, direction_error])
def test_gradients_flow_into_the_shallow_and_the_deepest_head(term):
    torch.manual_seed(0)
    shallow, deepest = torch.randn(4, 5, requires_grad=True), torch.randn(4, 5, requires_grad=True)
    assert all(g.abs().max() > 0.01 for g in torch.autograd.grad(term(shallow, deepest).sum(), (shallow, deepest)))
    assert term(shallow, shallow).abs().max() < 1e-6


def test_more_layers_than_there_are_are_named():
    encoder, stage_one, _, views = start()
    with pytest.raises(UsageError, match=r"shallow is \(0, 5\), and the encoder has fewer layers"):
        UnFuSeD(encoder, stage_one, clusters=3, shallow=(0, 5))(encoder, views)
