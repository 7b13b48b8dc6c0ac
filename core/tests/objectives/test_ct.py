"""Contrastive tension: the paper's binary form, and sentence-transformers' in-batch one."""

import pytest
import torch
import torch.nn.functional as F
from sentence_transformers.sentence_transformer.losses import ContrastiveTensionLossInBatchNegatives
from torch import nn

from unlabeled.objectives.ct import in_batch_tension, tension


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
    with pytest.raises(ValueError, match="raise --batch-size"):
        tension(a, b, 5)
