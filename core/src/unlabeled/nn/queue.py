"""A first-in first-out queue of keys, the same on every rank: the memory of MoCo, https://arxiv.org/abs/1911.05722.

# K size of the queue, D width of a key, B samples of all ranks
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.nn.distributed import gather


class Queue(nn.Module):
    """The last ``size`` keys. Contents and pointer are buffers, so a checkpoint holds them.

    It starts with random directions, as the paper's does. Enqueuing writes in place: do it after the backward pass of
    whatever read :attr:`contents`.

    >>> queue = Queue(size=4, dim=2)
    >>> queue.enqueue(torch.ones(3, 2))
    >>> queue.contents[:3].tolist(), queue.pointer
    ([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]], tensor(3))
    """

    contents: Tensor
    pointer: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"the queue has size {size}; it must hold at least 1 key")
        self.register_buffer("contents", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def enqueue(self, keys_BD: Tensor) -> None:
        """Take in this rank's keys and those of all others, in rank order; the oldest make room."""
        size = len(self.contents)
        keys = gather(keys_BD.detach().to(self.contents.dtype))
        skipped = max(0, len(keys) - size)  # these would be overwritten within this call
        # the pointer stays on the device: reading it would wait for an accelerator
        place = (self.pointer + torch.arange(skipped, len(keys), device=keys.device)) % size
        self.contents.index_copy_(0, place, keys[skipped:])
        self.pointer.add_(len(keys)).remainder_(size)
