"""Layouts, rows and views against plain loops, with ragged and equal groups."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from unlabeled.contract import Layout, Progress, Rows, View

RAGGED, EQUAL = (3, 1, 4), (4, 4, 4)


@dataclass
class Samples:
    ids: Tensor

    def __len__(self):
        return len(self.ids)

    def to(self, device):
        return Samples(self.ids.to(device))

    def __getitem__(self, samples):
        return Samples(self.ids[samples])


def layout(lengths, **fields):
    position = torch.cat([torch.arange(n) for n in lengths])[:, None]
    return Layout(lengths, position, **fields)


def rows(*index, lengths):
    return Rows(torch.tensor(index, dtype=torch.int64), lengths)


def per_group(x, lengths):
    return list(x.split(lengths))


# ------------------------------------------------------------------------------------------------- layout


@pytest.mark.parametrize("lengths", [RAGGED, EQUAL, (5,), (2, 0, 3)])
def test_dense_and_pack(lengths):
    it = layout(lengths)
    x = torch.randn(sum(lengths), 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    dense, pad = it.dense(x)
    assert dense.shape == (len(lengths), max(lengths), 2)
    for group, part in enumerate(per_group(x, lengths)):
        assert torch.equal(dense[group, : len(part)], part)
        assert bool((dense[group, len(part) :] == 0).all())
    if it.equal:
        assert pad is None
        assert dense.data_ptr() == x.data_ptr()
    else:
        assert pad.tolist() == [[i >= n for i in range(max(lengths))] for n in lengths]
    assert torch.equal(it.pack(dense), x)
    it.pack(dense * 3).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 3))


@pytest.mark.parametrize("lengths", [RAGGED, EQUAL])
def test_mean_is_over_each_group(lengths):
    x = torch.randn(sum(lengths), 3, generator=torch.Generator().manual_seed(1))
    expected = torch.stack([part.mean(0) for part in per_group(x, lengths)])
    assert torch.allclose(layout(lengths).mean(x), expected, atol=1e-6)


def test_group_within_offsets():
    it = layout(RAGGED)
    assert it.total == 8
    assert it.offsets == (0, 3, 4, 8)
    assert it.group.tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    assert it.within.tolist() == [0, 1, 2, 0, 0, 1, 2, 3]
    assert not it.equal
    assert layout(EQUAL).equal
    assert it.all.lengths == RAGGED
    assert it.all.index.tolist() == list(range(8))


def test_lengths_must_sum_to_the_rows():
    with pytest.raises(AssertionError):
        Layout((2, 2), torch.zeros(5, 1))
    with pytest.raises(AssertionError):
        rows(0, 1, lengths=(1, 0))


def test_select_keeps_induced_edges_maskable_and_seeds():
    edges = torch.tensor([[0, 1, 4, 5, 7], [1, 2, 5, 6, 4]])
    it = layout(RAGGED, edges=edges, maskable=rows(1, 2, 4, 7, lengths=(2, 0, 2)), seeds=torch.tensor([0, 3, 5]))
    part = it.select(torch.tensor([0, 1, 4, 5, 7]), (2, 0, 3))
    assert part.lengths == (2, 0, 3)
    assert part.position.flatten().tolist() == [0, 1, 0, 1, 3]
    assert part.edges.tolist() == [[0, 2, 4], [1, 3, 2]]
    assert part.maskable.index.tolist() == [1, 2, 4]
    assert part.maskable.lengths == (1, 0, 2)
    assert part.seeds.tolist() == [0, -1, 3]
    assert part.grid is None


def test_groups_of_a_layout():
    it = layout(RAGGED, maskable=rows(1, 2, 5, lengths=(2, 0, 1)))
    part = it.groups(1, 3)
    assert part.lengths == (1, 4)
    assert part.position.flatten().tolist() == [0, 0, 1, 2, 3]
    assert part.maskable.index.tolist() == [2]
    assert part.maskable.lengths == (0, 1)
    none = layout(RAGGED, maskable=rows(lengths=(0, 0, 0))).groups(0, 2).maskable
    assert none.lengths == (0, 0)


def test_groups_of_a_layout_keep_their_edges_and_seeds():
    edges = torch.tensor([[1, 0, 2, 4, 7], [0, 1, 1, 6, 5]])
    lengths = layout(RAGGED).lengths
    it = layout(RAGGED, edges=edges, seeds=torch.tensor([0, 3, 5]), address=torch.arange(10, 18))
    part = it.groups(2, 3)
    begin = sum(lengths[:2])
    assert part.edges.tolist() == [[4 - begin, 7 - begin], [6 - begin, 5 - begin]]
    assert part.seeds.tolist() == [5 - begin]
    assert part.address.tolist() == list(range(10 + begin, 18))
    with pytest.raises(TypeError, match="share a group"):
        layout(RAGGED, seeds=torch.tensor([0, 1])).groups(0, 1)


# ------------------------------------------------------------------------------------------------- rows


def test_complement_and_flags():
    it = layout(RAGGED)
    some = rows(0, 2, 3, 6, lengths=(2, 1, 1))
    rest = some.complement(it)
    assert rest.index.tolist() == [1, 4, 5, 7]
    assert rest.lengths == (1, 0, 3)
    assert some.flags(8).tolist() == [True, False, True, True, False, False, True, False]
    assert len(some) == 4
    assert rest.complement(it).index.tolist() == some.index.tolist()
    assert it.all.complement(it).lengths == (0, 0, 0)


def test_groups_of_rows_are_numbered_from_their_first_row():
    some = rows(0, 2, 3, 6, lengths=(2, 1, 1))
    part = some.groups(1, 3, layout(RAGGED))
    assert part.index.tolist() == [0, 3]
    assert part.lengths == (1, 1)


# ------------------------------------------------------------------------------------------------- view


def view():
    return View(
        Samples(torch.tensor([7, 8, 9])),
        "global",
        layout(RAGGED),
        hidden=rows(1, 3, 5, lengths=(1, 1, 1)),
        predict=(rows(0, 4, lengths=(1, 0, 1)), rows(7, lengths=(0, 0, 1))),
        swap=torch.tensor([1, 0, 2, 3, 4, 5, 7, 6]),
        origin=torch.arange(8) + 10,
        content=torch.arange(16.0).reshape(8, 2),
        ids=torch.arange(8) + 100,
        params={"box": torch.arange(3.0)},
    )


def test_cut_takes_the_rows_of_its_samples():
    part = view().cut(1, 3)
    assert part.batch.ids.tolist() == [8, 9]
    assert len(part) == 2
    assert part.layout.lengths == (1, 4)
    assert part.hidden.index.tolist() == [0, 2]
    assert [p.index.tolist() for p in part.predict] == [[1], [4]]
    assert part.swap.tolist() == [0, 1, 2, 4, 3]
    assert part.origin.tolist() == [13, 14, 15, 16, 17]
    assert part.content[0].tolist() == [6.0, 7.0]
    assert part.ids.tolist() == [103, 104, 105, 106, 107]
    assert part.params["box"].tolist() == [1.0, 2.0]


def test_cut_with_nothing_hidden_stays_a_cut():
    empty = View(Samples(torch.arange(3)), "global", layout(RAGGED), hidden=rows(lengths=(0, 0, 0)))
    hidden = empty.cut(0, 1).hidden
    assert hidden.lengths == (0,)


def test_cut_without_a_layout_and_of_nodes():
    bare = View(Samples(torch.arange(4)), "local", params={"a": torch.arange(4)})
    assert bare.cut(1, 3).batch.ids.tolist() == [1, 2]
    assert bare.cut(1, 3).params["a"].tolist() == [1, 2]
    with pytest.raises(TypeError, match="rows of its own"):
        replace(view(), layout=None).cut(0, 1)
    with pytest.raises(TypeError, match="groups"):
        View(Samples(torch.arange(5)), "clean", layout(RAGGED)).cut(0, 1)


def test_targets_and_clean():
    it = view()
    assert it.targets == it.predict
    clean = it.clean()
    assert clean.targets == ()
    assert clean.hidden is None
    assert clean.swap is None
    assert clean.content is it.content
    assert View(it.batch, "global", it.layout, hidden=it.hidden).targets == (it.hidden,)


def test_progress():
    assert Progress(0, 10).fraction == 0
    assert Progress(5, 10).fraction == 0.5
    assert Progress(20, 10).fraction == 1
    assert Progress(0, 0).fraction == 0
