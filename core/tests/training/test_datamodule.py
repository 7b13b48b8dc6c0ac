import pickle
from types import SimpleNamespace

import pytest
import torch

from unlabeled.errors import UsageError
from unlabeled.training import datamodule
from unlabeled.training.datamodule import AddressedBatches, Indices, Plan, order, trainable


def batches(plan, rank=0, position=0, seed=3):
    return list(AddressedBatches(plan, torch.arange(plan.samples), seed, rank, lambda: position))


def test_an_order_is_a_permutation_that_epoch_and_seed_change():
    first = order(1000, 0, 0)
    assert sorted(first.tolist()) == list(range(1000))
    assert torch.equal(first, order(1000, 0, 0))
    for other in (order(1000, 0, 1), order(1000, 1, 0)):
        assert (first == other).float().mean() < 0.01
    # positions are uniform: the mean place of the first half of the ids is that of the second
    place = torch.argsort(torch.stack([order(100, 5, epoch) for epoch in range(200)]), dim=1).double()
    assert abs(place[:, :50].mean() - 49.5) < 1


def test_an_epoch_visits_each_sample_once_and_leaves_out_the_rest():
    found = batches(Plan(103, 10))
    assert [len(b) for b in found] == [10] * 10
    assert len({i for b in found for i in b}) == 100


def test_ranks_and_accumulation_cut_the_same_global_batches():
    whole = batches(Plan(96, 24))
    cut = [batches(Plan(96, 24, accumulate=2, world=3), rank) for rank in range(3)]
    for step, expected in enumerate(whole):
        joined = [i for micro in (0, 1) for rank in range(3) for i in cut[rank][2 * step + micro]]
        assert joined == expected


@pytest.mark.parametrize("position", [0, 1, 9, 10, 11, 27])
def test_any_position_goes_on_where_the_stream_was(position):
    plan = Plan(103, 10)
    stream = [b for epoch in range(3) for b in batches(plan, position=10 * epoch)]
    rest = batches(plan, position=position)
    assert rest == stream[position : (position // 10 + 1) * 10]


class Held:
    """Twelve samples, every third held out."""

    test: torch.Tensor | None = torch.arange(12) % 3 == 0

    def __len__(self):
        return 12


def test_held_out_samples_are_never_trained_on():
    pool = trainable(Held())
    assert pool.tolist() == [1, 2, 4, 5, 7, 8, 10, 11]
    epoch = list(AddressedBatches(Plan(len(pool), 4), pool, 0, 0, lambda: 0))
    assert sorted(i for batch in epoch for i in batch) == pool.tolist()


def test_errors_say_what_would_be_right():
    with pytest.raises(UsageError, match="30 samples to train on, fewer than one batch of 64: set --batch-size to 30"):
        Plan(30, 64)
    with pytest.raises(UsageError, match="must be a multiple of 6, for example 18"):
        Plan(100, 20, accumulate=2, world=3)
    with pytest.raises(UsageError, match="no sample is left to train on"):
        Plan(0, 20)


def test_a_data_set_may_arrange_an_epoch():
    seen = []

    def by_size(ids, size):
        seen.append(size)
        return ids.sort().values

    plan = Plan(8, batch_size=4, world=2)
    first = AddressedBatches(plan, torch.arange(8), 0, 0, lambda: 0, by_size)
    second = AddressedBatches(plan, torch.arange(8), 0, 1, lambda: 0, by_size)
    assert list(first) == [[0, 1], [4, 5]]
    assert list(second) == [[2, 3], [6, 7]]
    assert seen == [4, 4], "a batch of all ranks is arranged together"


def test_a_data_set_may_form_batches_of_several_sizes():
    def form(ids, size, parts):
        assert (len(ids), size, parts) == (13, 4, 2)
        return list(torch.arange(12).split([2, 6, 4]))

    def stream(plan, rank=0, position=0):
        return list(AddressedBatches(plan, torch.arange(13), 0, rank, lambda: position, None, form))

    assert stream(Plan(13, 4, world=2)) == [[0], [2, 3, 4], [8, 9]]
    assert stream(Plan(13, 4, world=2), rank=1) == [[1], [5, 6, 7], [10, 11]]
    assert stream(Plan(13, 4, accumulate=2), position=3) == [[5, 6, 7], [8, 9], [10, 11]]


def test_indices_say_seed_and_epoch_and_travel_to_a_worker():
    batches = AddressedBatches(Plan(6, 2), torch.arange(6), 9, 0, lambda: 3)
    first = next(iter(batches))
    sent = pickle.loads(pickle.dumps(first))  # noqa: S301 - our own object
    assert list(sent) == list(first)
    assert isinstance(sent, Indices)
    assert (sent.seed, sent.epoch) == (9, 1)


@pytest.mark.parametrize(("device", "pins"), [("cuda", True), ("cpu", False), ("mps", False)])
def test_batches_are_pinned_for_a_gpu_alone(device, pins):
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)))
    assert datamodule._pins(trainer) is pins
