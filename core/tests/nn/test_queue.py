"""The queue keeps the last keys in order, whatever the batch size."""

import pytest
import torch

from unlabeled.nn.queue import Queue


def keys(start, stop):
    """Keys that say their number."""
    return torch.arange(start, stop).float()[:, None].expand(-1, 3).contiguous()


@pytest.mark.parametrize("sizes", [[4], [4, 4], [4, 4, 4, 4], [10], [11], [25], [3, 25, 2], [0, 5], [7] * 9])
def test_it_holds_the_last_keys(sizes):
    queue, size, total = Queue(10, 3), 10, sum(sizes)
    start = queue.contents.clone()
    given = 0
    for count in sizes:
        queue.enqueue(keys(given, given + count))
        given += count
    for place in range(size):
        latest = [n for n in range(total) if n % size == place][-1:]
        expected = torch.full((3,), float(latest[0])) if latest else start[place]
        assert torch.equal(queue.contents[place], expected)
    assert queue.pointer == total % size


def test_it_starts_with_directions():
    torch.manual_seed(0)
    queue = Queue(50, 8)
    torch.testing.assert_close(queue.contents.norm(dim=1), torch.ones(50))
    assert (queue.contents @ queue.contents.T).fill_diagonal_(0).abs().max() < 0.999


def test_keys_are_kept_without_their_graph_and_in_its_precision():
    queue = Queue(4, 3)
    queue.enqueue(torch.ones(2, 3, dtype=torch.bfloat16, requires_grad=True))
    assert queue.contents.dtype == torch.float32
    assert not queue.contents.requires_grad


def test_an_empty_queue_is_refused():
    with pytest.raises(ValueError, match="size 0; it must hold at least 1 key"):
        Queue(0, 3)
