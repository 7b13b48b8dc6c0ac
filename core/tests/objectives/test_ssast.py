"""SSAST: a patch is told from the others of its own spectrogram."""

import torch
import torch.nn.functional as F

from unlabeled.contract import Layout
from unlabeled.objectives.ssast import SSAST, discriminative_loss
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_hide, toy_views


def test_ssast_matches_patches_within_a_spectrogram():
    torch.manual_seed(0)
    guess, content, layout = torch.randn(9, 4), torch.randn(9, 4), Layout((5, 4), torch.zeros(9, 1))
    losses = []
    for c, x in zip(guess.split((5, 4)), content.split((5, 4)), strict=True):
        losses += [
            -(c[i] @ x[i]) + torch.stack([c[i] @ x[j] for j in range(len(x))]).exp().sum().log() for i in range(len(x))
        ]
    torch.testing.assert_close(discriminative_loss(guess, content, layout), torch.stack(losses))


def test_hidden_patches_are_told_and_restored_each_by_its_own_head():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = SSAST(encoder, 4, generative=3.0)
    views = [toy_hide(view, 5, n) for n, view in enumerate(toy_views(toy_batch(range(4)), ("global",) * 2, encoder))]
    told, restored = [], []
    for view in views:
        tokens, content = encoder(view, hide="mask").tokens, view.content
        for sample in range(4):
            index = view.hidden.index[5 * sample : 5 * sample + 5]
            scores = objective.tell(tokens[index]) @ content[index].T
            told.append(F.cross_entropy(scores, torch.arange(5), reduction="none"))
            restored.append((objective.restore(tokens[index]) - content[index]).square().mean(1))
    expected = torch.cat(told).mean() + 3.0 * torch.cat(restored).mean()
    torch.testing.assert_close(objective(encoder, views).total, expected)
