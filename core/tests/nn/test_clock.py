"""A clock says the same on the host and on the device, and after its state was saved."""

import pytest
import torch

from unlabeled.contract import Progress
from unlabeled.nn.clock import Clock


@pytest.mark.parametrize("step", [0, 3, 6, 10])
def test_a_clock_that_was_saved_branches_as_before(step):
    clock, other = Clock(), Clock()
    clock.advance(Progress(step, 10))
    other.load_state_dict(clock.state_dict())
    for share in (0.0, 0.3, 0.6, 0.9, 1.0):
        assert clock.past(share) == other.past(share)
        assert clock.past(share) == (float(clock.fraction) >= share)


def test_a_ramp_ends_at_its_share_and_stays():
    clock, found = Clock(), []
    for step in (0, 2, 4, 8):
        clock.advance(Progress(step, 8))
        found.append(clock.ramp(1.0, 3.0, 0.5))
    torch.testing.assert_close(torch.stack(found), torch.tensor([1.0, 2.0, 3.0, 3.0]))
    assert clock.since(1.0) == 1
