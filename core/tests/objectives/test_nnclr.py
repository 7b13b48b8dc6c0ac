"""NNCLR: the neighbor of one view is told by the prediction of the other, and no gradient reaches the neighbor."""

import torch
import torch.nn.functional as F
from lightly.models.modules import NNMemoryBankModule

from unlabeled.contract import Progress
from unlabeled.nn.heads import unit
from unlabeled.objectives.nnclr import NNCLR, nearest
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def test_neighbors_are_lightlys():
    torch.manual_seed(0)
    bank = NNMemoryBankModule(size=(10, 4))
    bank(F.normalize(torch.randn(10, 4), dim=1), update=True)
    x = F.normalize(torch.randn(3, 4), dim=1)
    torch.testing.assert_close(nearest(x, bank.bank.T if bank.bank.shape[0] == 4 else bank.bank), bank(x))


def test_the_loss_is_info_nce_of_neighbors_and_predictions():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = NNCLR(encoder, projector=(12, 6), predictor=12, temperature=0.3, queue=20)
    views = toy_views(toy_batch(range(8)))
    loss = objective(encoder, views).total
    z = [objective.projector(encoder(view).pooled) for view in views]
    p = [unit(objective.predictor(x)) for x in z]
    terms = []
    for one, other in ((0, 1), (1, 0)):
        neighbors = nearest(unit(z[one].detach()), objective.queue.contents)
        terms.append(F.cross_entropy(neighbors @ p[other].T / 0.3, torch.arange(8)))
    torch.testing.assert_close(loss, sum(terms) / 2)


def test_the_queue_takes_the_first_view_after_the_step():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = NNCLR(encoder, projector=(12, 6), predictor=12, queue=20)
    before = objective.queue.contents.clone()
    views = toy_views(toy_batch(range(8)))
    objective(encoder, views)
    assert torch.equal(objective.queue.contents, before)
    objective.after_step(encoder, Progress(1, 10))
    with torch.no_grad():
        wanted = unit(objective.projector(encoder(views[0]).pooled))
    torch.testing.assert_close(objective.queue.contents[:8], wanted)
    assert torch.equal(objective.queue.contents[8:], before[8:])
