"""Translations by word vectors: hubs, mutual neighbors, the map between two languages."""

import pytest
import torch

from unlabeled_text.ops.translation import csls, induced, mutual

SAME = torch.zeros(0, 2, dtype=torch.int64)


def languages(count=160, width=12, noise=0.02):
    """Vectors of a language, and of another that says the same in other axes and another order."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(count, width, generator=draw) * torch.linspace(0.3, 2, width)
    turn, _ = torch.linalg.qr(torch.randn(width, width, generator=draw))
    order = torch.randperm(count, generator=draw)
    return x, (x @ turn + noise * torch.randn(count, width, generator=draw))[order], order


@pytest.mark.parametrize("known", [0, 10])
def test_a_language_in_other_axes_is_translated(known):
    """Without a known pair by how words lie among their own; with ten, from these."""
    x, z, order = languages()
    anchors = torch.stack((order[:known], torch.arange(known)), dim=1) if known else SAME
    found = induced(x, z, anchors)
    right = order[found[:, 1]] == found[:, 0]
    assert len(found) > 150
    assert right.float().mean() > 0.95


def test_known_pairs_lead_where_lying_alike_tells_nothing():
    x, z, order = languages(noise=0.7)
    anchors = torch.stack((order[:60], torch.arange(60)), dim=1)
    share = [(order[p[:, 1]] == p[:, 0]).float().mean() for p in (induced(x, z, SAME), induced(x, z, anchors))]
    assert share[1] > 0.7 > share[0]


def test_a_pair_is_mutual_and_a_hub_has_none_of_its_crowd():
    near = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.1, 0.7]])
    assert mutual(near).tolist() == [[0, 0], [2, 1]]
    x = torch.eye(12, 24)
    hub = torch.cat((torch.ones(1, 12), torch.zeros(1, 12)), dim=1) / 12**0.5
    z = torch.cat((hub, 0.25 * x + 0.97 * x.roll(12, 1)))
    assert (x @ z.T).argmax(1).tolist() == [0] * 12
    assert csls(x, z).argmax(1).tolist() == [*range(1, 13)]
