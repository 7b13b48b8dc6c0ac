"""Alice: the matched anatomy of a crop is the most similar other sample."""

import torch
import torch.nn.functional as F

from unlabeled.objectives.alice import matches


def units(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_matches_are_the_most_similar_other_sample():
    z = units(4, 3)
    index, found = matches(z[:2], z, torch.tensor([0, 1]), 0.7)
    cosine = z @ z.T - 2 * torch.eye(4)
    assert torch.equal(index, cosine[:2].argmax(1))
    assert torch.equal(found, cosine[:2].max(1).values >= 0.7)
