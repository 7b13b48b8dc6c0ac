"""Product quantization with a straight-through Gumbel softmax: wav2vec 2.0, https://arxiv.org/abs/2006.11477, 2.

A frame scores the V entries of each of G codebooks; in training the best after Gumbel noise is taken, with the gradient
of the soft choice (https://arxiv.org/abs/1611.01144), in evaluation the best. Differs: noise is drawn by (step,
sample, frame), so a frame gets the same in any batch and on any rank.

    # H frames, D features, G codebooks, V entries of each, W width of all codebooks together
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.draw import GOLDEN, Draw, Purpose, gumbel, mix64
from unlabeled.errors import above
from unlabeled.nn.precision import full


def gumbel_noise(draw: Draw, sample_H: Tensor, place_H: Tensor, count: int) -> Tensor:
    """``[H, count]`` standard Gumbel noise of frames at ``place_H`` of samples ``sample_H``.

    >>> draw = Draw(0, 0, torch.arange(2))
    >>> gumbel_noise(draw, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]), 8).shape
    torch.Size([3, 8])
    """
    first = draw.rows(Purpose.GUMBEL, sample_H, place_H)
    steps = torch.arange(1, count + 1, device=first.device) * GOLDEN
    return gumbel(mix64(first[:, None] + steps))


class GumbelProduct(nn.Module):
    """``x[H, D] -> (q[H, W], codes[H, G], p[H, G, V])``; ``p`` are the choices without noise, for the diversity.

    Args:
        dim: D.
        width: W, a multiple of groups.
        groups: G.
        entries: V.

    >>> quantizer = GumbelProduct(8, width=6, groups=2, entries=5)
    >>> q, codes, p = quantizer(torch.randn(3, 8), torch.zeros(3, 10))
    >>> q.shape, codes.shape, p.shape
    (torch.Size([3, 6]), torch.Size([3, 2]), torch.Size([3, 2, 5]))
    """

    temperature: Tensor

    def __init__(self, dim: int, *, width: int, groups: int, entries: int) -> None:
        super().__init__()
        above(0, groups=groups, entries=entries)
        if width % groups:
            raise ValueError(f"codes of width {width} do not divide into {groups} groups")
        self.groups, self.entries = groups, entries
        self.score = nn.Linear(dim, groups * entries)
        nn.init.normal_(self.score.weight)  # as wide as in the authors' code: narrow scores leave one entry to win
        nn.init.zeros_(self.score.bias)
        self.codebook = nn.Parameter(torch.rand(groups, entries, width // groups))
        self.register_buffer("temperature", torch.tensor(2.0))

    def forward(self, x_HD: Tensor, noise_HX: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """``noise_HX [H, G V]`` is added in training; None takes the best entry, without a gradient to the scores."""
        scores = full(self.score(x_HD)).unflatten(1, (self.groups, self.entries))
        p = scores.softmax(-1)
        noisy = scores if noise_HX is None else scores + noise_HX.view_as(scores)
        codes = noisy.argmax(-1)
        hard = F.one_hot(codes, self.entries).to(p.dtype)
        if noise_HX is None:
            return self.look_up(hard), codes, hard
        soft = (noisy / self.temperature).softmax(-1)
        return self.look_up(hard + soft - soft.detach()), codes, p

    def look_up(self, choice_HGV: Tensor) -> Tensor:
        """The chosen entries of all codebooks, side by side: ``[H, W]``."""
        return torch.einsum("hgv,gvw->hgw", choice_HGV, full(self.codebook)).flatten(1)

    def anneal(self, step: int, start: float, end: float, decay: float) -> None:
        """Temperature ``start * decay ** step``, never below ``end``."""
        self.temperature.fill_(max(start * decay**step, end))
