"""Memory of each sample between epochs, the same on all ranks: moving averages by sample id.

As the estimators of iSogCLR, https://arxiv.org/abs/2305.11965, and memory banks, https://arxiv.org/abs/1805.01978.

    # N samples of the data, b samples of this rank, S shape of what is kept of one
"""

import torch
from torch import Tensor, nn

from unlabeled.errors import above
from unlabeled.nn.distributed import gather


class PerSample(nn.Module):
    """``values[N, *S]`` of all samples, and which have been ``seen[N]``: buffers, so a checkpoint holds them.

    Args:
        samples: N; ids are 0 to N - 1.
        shape: S, of what is kept of one sample; () = one number.
        start: of all values.

    >>> temperature = PerSample(4, start=0.5)
    >>> temperature.update(torch.tensor([2]), torch.tensor([1.0]), momentum=0.9)
    >>> temperature.update(torch.tensor([2]), torch.tensor([0.0]), momentum=0.9)
    >>> temperature.read(torch.tensor([0, 2]))
    tensor([0.5000, 0.9000])
    """

    values: Tensor
    seen: Tensor

    def __init__(self, samples: int, shape: tuple[int, ...] = (), *, start: float = 0.0) -> None:
        super().__init__()
        above(0, samples=samples)
        self.register_buffer("values", torch.full((samples, *shape), start))
        self.register_buffer("seen", torch.zeros(samples, dtype=torch.bool))

    def read(self, ids_b: Tensor) -> Tensor:
        """``[b, *S]`` of these samples."""
        return self.values[ids_b]

    @torch.no_grad()
    def update(self, ids_b: Tensor, values: Tensor, momentum: float = 0.0) -> None:
        """momentum * old + (1 - momentum) * new of the samples of all ranks; a sample's first value is taken as it is.

        Writes in place: do it after the backward pass of whatever read them.

        Args:
            ids_b: each at most once over all ranks.
            values: ``[b, *S]``.
            momentum: 0 keeps the last value.
        """
        ids, new = gather(ids_b), gather(values.detach().to(self.values.dtype))
        old = torch.where(self.seen[ids].view(-1, *[1] * (new.dim() - 1)), self.values[ids], new)
        self.values.index_copy_(0, ids, old.lerp(new, 1 - momentum))
        self.seen.index_fill_(0, ids, True)
