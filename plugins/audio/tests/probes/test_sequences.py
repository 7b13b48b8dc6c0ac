"""Sequences of units: votes and distances written out, and what they say of frames whose answer is known."""

import pytest
import torch

from unlabeled.contract import Features
from unlabeled.probes.frozen import Frozen
from unlabeled_audio.data.syllables import Syllables
from unlabeled_audio.encoders.rows import step_layout
from unlabeled_audio.probes.sequences import TokenSequence, distances, gumbel_codes, k_means, nearer, vote
from unlabeled_audio.views.standard import Clean


class Telling(torch.nn.Module):
    """Frames say ``y`` of the clip, the first half of it or the second half first; the rest is noise."""

    dim = 10
    can = frozenset({"tokens"})

    def __init__(self, y):
        super().__init__()
        self.y = y

    def forward(self, view):
        layout = step_layout((6,) * len(view.batch), 1, view.batch.wave.device)
        y = self.y[view.batch.ids][layout.group]
        unit = torch.where(layout.within < 3, y, (y + 1) % 10)
        x = torch.nn.functional.one_hot(unit, 10).float() + 0.01 * torch.randn(
            layout.total, 10, generator=torch.Generator().manual_seed(int(view.batch.ids.sum()))
        )
        return Features(x, layout, layout.mean(x))


@pytest.fixture(scope="module")
def data():
    return Syllables(None, count=120)


def frozen(data, y):
    held = torch.arange(len(data)) >= 60
    ids = torch.arange(len(data))
    return Frozen(Telling(y), "pre-trained", data, Clean(data.spec), ids[~held], ids[held])


def test_distances_are_over_the_longer_length():
    some = [torch.tensor([1, 2, 3]), torch.tensor([5])]
    many = [torch.tensor([1, 3]), torch.tensor([1, 2, 3, 4, 4])]
    torch.testing.assert_close(distances(some, many), torch.tensor([[1 / 3, 2 / 5], [1.0, 1.0]]))


def test_most_of_the_nearest_decide_and_the_nearest_in_ties():
    far = torch.tensor([[0.1, 0.2, 0.3, 0.9], [0.2, 0.1, 0.9, 0.9]])
    y = torch.tensor([2, 0, 0, 1])
    assert vote(far, y, 3).tolist() == [0, 0]
    assert vote(far, y, 2).tolist() == [2, 0]
    assert vote(far, y, 1).tolist() == [2, 0]


def test_pairs_of_one_kind_are_nearer_by_their_share():
    far, same = torch.tensor([[0.1, 0.5, 0.3]]), torch.tensor([[True, False, False]])
    assert nearer(far, same) == 1.0
    assert nearer(-far, same) == 0.0
    assert nearer(torch.zeros(1, 3), same) == 0.5
    assert nearer(far, torch.ones(1, 3, dtype=torch.bool)) == 0.5


def test_codes_that_restore_frames_tell_clusters_apart():
    generator = torch.Generator().manual_seed(0)
    kind = torch.arange(200) % 4
    x = 3 * torch.eye(6)[kind] + 0.1 * torch.randn(200, 6, generator=generator)
    for tell in (gumbel_codes(x, 8, 0, 400), k_means(x, 4, 0)):
        codes = [set(tell(x[kind == n]).tolist()) for n in range(4)]
        assert sum(map(len, codes)) == len(set().union(*codes)), "no two clusters share a code"


def test_what_frames_say_is_found_and_what_they_do_not_is_not(data):
    probe = TokenSequence(count=10, steps=300)
    for said, other, y in (("", "caller_", data.labels), ("caller_", "", data.speakers)):
        found = probe(frozen(data, y))
        for name in ("", "_gumbel"):
            assert found[f"{said}accuracy{name}"] > 0.95
            assert found[f"{said}nearer{name}"] > 0.95
            assert found[f"{other}accuracy{name}"] < 0.5
            assert abs(found[f"{other}nearer{name}"] - 0.5) < 0.1


def test_settings_out_of_range_are_named():
    with pytest.raises(ValueError, match="k is 0; it must be above"):
        TokenSequence(k=0)
