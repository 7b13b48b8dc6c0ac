"""State by sample id: averages as written out, the same on all ranks, kept by a checkpoint."""

import pytest
import torch

from unlabeled.nn.distributed import rank, world
from unlabeled.nn.per_sample import PerSample
from unlabeled.testing.ranks import run_ranks


def filled():
    kept, generator = PerSample(10, (3,), start=-1.0), torch.Generator().manual_seed(0)
    for _step in range(3):
        ids = torch.randperm(9, generator=generator)[:4]
        values = torch.randn(4, 3, generator=generator)
        mine = torch.arange(4).chunk(world())[rank()]
        kept.update(ids[mine], values[mine], momentum=0.7)
    return kept.state_dict()


def test_two_ranks_hold_the_same_as_one():
    alone = filled()
    for state in run_ranks(filled, 2):
        for name, value in state.items():
            torch.testing.assert_close(value, alone[name])
    assert (alone["values"][9] == -1).all()
    assert not alone["seen"][9]


def test_first_values_are_taken_and_later_ones_averaged():
    kept = PerSample(3)
    kept.update(torch.tensor([1, 0]), torch.tensor([4.0, 2.0]), momentum=0.75)
    kept.update(torch.tensor([1]), torch.tensor([8.0], dtype=torch.bfloat16, requires_grad=True), momentum=0.75)
    assert kept.read(torch.arange(3)).tolist() == [2.0, 5.0, 0.0]


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="samples is 0"):
        PerSample(0)
