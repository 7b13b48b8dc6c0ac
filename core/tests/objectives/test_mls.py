"""MLS: labels are the nearest of the feature queue, asked among the projections of the same entries."""

import torch
import torch.nn.functional as F

from unlabeled.contract import Progress
from unlabeled.nn.heads import unit
from unlabeled.objectives.mls import MLS, multi_label_loss, pseudo_labels
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def made():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    return (
        encoder,
        MLS(encoder, projector=(12, 6), neighbors=3, queue=20, temperature=0.5),
        toy_views(toy_batch(range(5))),
    )


def test_labels_are_the_nearest_entries():
    torch.manual_seed(0)
    x, queue = unit(torch.randn(4, 6)), unit(torch.randn(20, 6))
    labels = pseudo_labels(x, queue, 3)
    for row, similarity in zip(labels, x @ queue.T):
        assert set(row.nonzero()[:, 0].tolist()) == set(sorted(range(20), key=lambda k: -similarity[k])[:3])


def test_the_loss_asks_the_other_view_for_the_same_entries():
    encoder, objective, views = made()
    terms = []
    for asked, told in ((0, 1), (1, 0)):
        labels = pseudo_labels(unit(objective.teacher.encoder(views[asked]).pooled), objective.features.contents, 3)
        scores = unit(objective.projector(encoder(views[told]).pooled)) @ objective.projections.contents.T / 0.5
        p = torch.sigmoid(scores)
        terms.append(-(labels * p.log() + (1 - labels) * (1 - p).log()).mean())
    torch.testing.assert_close(objective(encoder, views).total, sum(terms) / 2)
    assert multi_label_loss(torch.zeros(1, 2), torch.eye(2), torch.zeros(1, 2), 1.0) == F.softplus(torch.tensor(0.0))


def test_the_queues_stay_aligned():
    encoder, objective, views = made()
    objective(encoder, views)
    with torch.no_grad():
        features = torch.cat([objective.teacher.encoder(view).pooled for view in views])
        projections = objective.teacher.projector(features[:5]), objective.teacher.projector(features[5:])
    objective.after_step(encoder, Progress(1, 10))
    torch.testing.assert_close(objective.features.contents[:10], unit(features))
    torch.testing.assert_close(objective.projections.contents[:10], unit(torch.cat(projections)))
