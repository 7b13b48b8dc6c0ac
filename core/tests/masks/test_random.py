"""Masks: exact counts on groups of any length, pairs of places, addresses, and nothing on rows that must stay."""

import pytest
import torch

from unlabeled.contract import Layout, Rows, View
from unlabeled.draw import Draw
from unlabeled.masks.random import RandomMask
from unlabeled.masks.rows import choose, gather_rows, keys, share, touchable
from unlabeled.testing.toys import toy_batch


def ragged(lengths, maskable=None):
    return Layout(tuple(lengths), torch.zeros(sum(lengths), 1), maskable=maskable)


def all_but_first(lengths):
    """Rows without the first of each group, as a class token stands there."""
    keep = torch.cat([torch.arange(n) > 0 for n in lengths])
    return gather_rows(keep, [n - 1 for n in lengths])


def view_of(layout, ids):
    return View(toy_batch(ids, (1, 1)), "global", layout)


def hidden_of(layout, ids, ratio=0.75, seed=0, epoch=0):
    ids = torch.as_tensor(ids)
    view = RandomMask(ratio=ratio)(view_of(layout, ids), Draw(seed, epoch, ids))
    return view.hidden


def split(rows, layout):
    """Places in the group, for each group."""
    return [
        (part - start).tolist() for part, start in zip(rows.index.split(rows.lengths), layout.offsets[:-1], strict=True)
    ]


def test_ragged_groups_hide_their_own_share_and_never_all():
    lengths = [1, 2, 3, 10, 40, 0, 7]
    layout = ragged(lengths)
    rows = hidden_of(layout, range(7), 0.9)
    assert rows.lengths == (0, 1, 2, 9, 36, 0, 6)
    assert torch.equal(torch.bincount(layout.group[rows.index], minlength=7), torch.tensor(rows.lengths))


def test_shares_leave_one_visible_and_hide_one_where_two_rows_stand():
    assert share(0.001, [0, 1, 2, 100]) == (0, 0, 1, 1)
    assert share(0.999, [0, 1, 2, 100]) == (0, 0, 1, 99)
    assert share(0.75, [196, 4, 3]) == (147, 3, 2)


@pytest.mark.parametrize("lengths", [[9] * 50, [9, 3, 17, 2, 1, 30] * 8])
def test_unmaskable_rows_stay_visible(lengths):
    maskable = all_but_first(lengths)
    layout = ragged(lengths, maskable)
    rows = hidden_of(layout, range(len(lengths)), 0.8)
    assert not (rows.flags(layout.total) & ~maskable.flags(layout.total)).any()
    assert rows.lengths == share(0.8, touchable(layout)) == share(0.8, [n - 1 for n in lengths])


def test_pairs_of_places_are_hidden_together_as_often_as_chance_says():
    samples, places = 4000, 8
    layout = ragged([places] * samples)
    rows = hidden_of(layout, range(samples), 0.5)
    flags = rows.flags(layout.total).reshape(samples, places).double()
    together = (flags.T @ flags) / samples
    expected = 0.5 * 3 / 7
    off = together[~torch.eye(places, dtype=torch.bool)]
    assert (off - expected).abs().max() < 4.5 * (expected * (1 - expected) / samples) ** 0.5


def test_masks_differ_between_samples_epochs_seeds_and_views():
    layout = ragged([64] * 2)
    first, second = split(hidden_of(layout, [0, 1]), layout)
    assert first != second
    assert split(hidden_of(layout, [0, 1], epoch=1), layout)[0] != first
    assert split(hidden_of(layout, [0, 1], seed=1), layout)[0] != first
    view = view_of(layout, [0, 1])
    other = RandomMask()(view, Draw(0, 0, torch.tensor([0, 1]), view=1)).hidden
    assert split(other, layout)[0] != first


def test_node_level_rows_are_addressed_by_their_own_ids():
    ids = torch.tensor([5, 9, 2, 7])
    seeds = torch.tensor([2, 0, 3, 1])  # sample 0 stands in row 2
    layout = Layout((4,), torch.zeros(4, 0), seeds=seeds)
    words = keys(layout, Draw(0, 0, ids))
    moved = keys(Layout((4,), torch.zeros(4, 0), seeds=torch.arange(4)), Draw(0, 0, ids))
    assert torch.equal(words[seeds], moved)
    with pytest.raises(TypeError, match="4 rows but 2 of them are samples"):
        keys(Layout((4,), torch.zeros(4, 0), seeds=seeds[:2]), Draw(0, 0, ids[:2]))


def test_rows_with_an_address_draw_by_it_whichever_rows_are_samples():
    address = torch.tensor([2, 5, 9])
    some = Layout((3,), torch.zeros(3, 0), seeds=torch.tensor([1]), address=address)
    every = Layout((3,), torch.zeros(3, 0), seeds=torch.arange(3))
    assert torch.equal(keys(some, Draw(0, 0, torch.tensor([5]))), keys(every, Draw(0, 0, address)))


def test_choose_takes_the_smallest_keys_and_the_first_of_equals():
    layout = ragged([4, 3])
    words = torch.tensor([9, -4, 9, 100, 5, 5, 5]) * 2
    assert choose(words, layout, (2, 2)).index.tolist() == [0, 1, 4, 5]
    assert choose(words, layout, (0, 3)).index.tolist() == [4, 5, 6]
    limited = ragged([4, 3], Rows(torch.tensor([2, 3, 6]), (2, 1)))
    assert choose(words, limited, (1, 1)).index.tolist() == [2, 6]
    with pytest.raises(AssertionError):
        choose(words, limited, (3, 1))


def test_choose_survives_the_greatest_keys():
    words = torch.full((6,), torch.iinfo(torch.int64).max)
    layout = ragged([4, 2], Rows(torch.tensor([1, 2, 3, 5]), (3, 1)))
    assert choose(words, layout, (3, 1)).index.tolist() == [1, 2, 3, 5]


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_a_ratio_outside_its_range_is_refused(ratio):
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        RandomMask(ratio=ratio)
