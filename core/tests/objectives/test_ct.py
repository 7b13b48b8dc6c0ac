"""Contrastive tension: the paper's binary form, and sentence-transformers' in-batch one."""

import pytest
import torch
import torch.nn.functional as F
from sentence_transformers.sentence_transformer.losses import ContrastiveTensionLossInBatchNegatives
from torch import nn

from unlabeled.objectives.ct import CT, in_batch_tension, tension
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


class Stub(nn.Module):
    """Gives sentence-transformers' loss the embeddings that stand in the features."""

    def __init__(self, key):
        super().__init__()
        self.key = key

    def forward(self, features):
        return {"sentence_embedding": features[self.key]}


def test_in_batch_tension_equals_sentence_transformers():
    torch.manual_seed(0)
    a, b = torch.randn(8, 16), torch.randn(8, 16)
    loss = ContrastiveTensionLossInBatchNegatives(Stub("x"), scale=20.0)
    loss.model2 = Stub("y")
    theirs = loss([{"x": a, "y": b}], torch.arange(8))
    ours = in_batch_tension(a, b, loss.logit_scale.exp().detach())
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-4)


def test_tension_is_the_papers_binary_cross_entropy():
    torch.manual_seed(0)
    a, b = torch.randn(5, 4), torch.randn(5, 4)
    total = 0.0
    for i in range(5):
        for k in range(4):
            target = torch.tensor(1.0 if k == 0 else 0.0)
            total = total + F.binary_cross_entropy_with_logits(a[i] @ b[(i + k) % 5], target)
    torch.testing.assert_close(tension(a, b, 3), total / 20)
    with pytest.raises(ValueError, match="has 4 other texts; raise --batch-size"):
        tension(a, b, 5)


@pytest.mark.parametrize("in_batch", [False, True])
def test_the_encoder_asks_its_own_copy_which_learns_too(in_batch):
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = CT(encoder, negatives=2, in_batch=in_batch)
    views = toy_views(toy_batch(range(5)), ("global",))
    torch.testing.assert_close(objective.second(views[0]).pooled, encoder(views[0]).pooled)
    with torch.no_grad():
        objective.second.embed.weight.mul_(2)
    first, second = encoder(views[0]).pooled, objective.second(views[0]).pooled
    wanted = in_batch_tension(first, second, torch.tensor(20.0)) if in_batch else tension(first, second, 2)
    found = objective(encoder, views).total
    torch.testing.assert_close(found, wanted)
    found.backward()
    assert all(model.embed.weight.grad.any() for model in (encoder, objective.second))
