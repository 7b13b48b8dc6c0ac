"""SSAST: a patch is told from the others of its own spectrogram."""

import torch

from unlabeled.contract import Layout
from unlabeled.objectives.ssast import discriminative_loss


def test_ssast_matches_patches_within_a_spectrogram():
    torch.manual_seed(0)
    guess, content, layout = torch.randn(9, 4), torch.randn(9, 4), Layout((5, 4), torch.zeros(9, 1))
    losses = []
    for c, x in zip(guess.split((5, 4)), content.split((5, 4)), strict=True):
        losses += [
            -(c[i] @ x[i]) + torch.stack([c[i] @ x[j] for j in range(len(x))]).exp().sum().log() for i in range(len(x))
        ]
    torch.testing.assert_close(discriminative_loss(guess, content, layout), torch.stack(losses))
