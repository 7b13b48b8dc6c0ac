"""DinoSR: its loss is the mean over layers of the cross-entropy against each layer's entries."""

import torch

from unlabeled.objectives.dinosr import dinosr_loss


def test_equals_the_formula_written_out():
    torch.manual_seed(0)
    logits, ids = [torch.randn(6, 5) for _ in range(3)], [torch.randint(5, (6,)) for _ in range(3)]
    expected = torch.stack([-s.log_softmax(1)[torch.arange(6), i] for s, i in zip(logits, ids, strict=True)]).mean(0)
    torch.testing.assert_close(dinosr_loss(logits, ids), expected)
