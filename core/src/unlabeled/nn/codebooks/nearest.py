"""Product quantization by the nearest entry, learned by gradient: vq-wav2vec's k-means, https://arxiv.org/abs/1910.05453.

Section 3.2, after VQ-VAE, https://arxiv.org/abs/1711.00937: each part of a frame becomes the nearest entry of its
codebook, the gradient of what is built on it goes straight through to the frame, and a loss draws entry and frame
together. Differs: LayerNorm of each part, where the authors' GroupNorm spans a clip.

    # H frames, D features, G codebooks, V entries of each, W width of all codebooks together
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.errors import above, at_least
from unlabeled.nn.kmeans import nearest
from unlabeled.nn.precision import full


class NearestProduct(nn.Module):
    """``x[H, D] -> (q[H, W], codes[H, G], loss[H])``.

    Args:
        dim: D.
        width: W, a multiple of groups.
        groups: G.
        entries: V.
        commitment: weight of the term that draws a frame to its entry; gamma, 0.25 in the paper.

    >>> q, codes, loss = NearestProduct(8, width=6, groups=2, entries=5)(torch.randn(3, 8))
    >>> q.shape, codes.shape, loss.shape
    (torch.Size([3, 6]), torch.Size([3, 2]), torch.Size([3]))
    """

    def __init__(self, dim: int, *, width: int, groups: int, entries: int, commitment: float = 0.25) -> None:
        super().__init__()
        above(0, groups=groups, entries=entries)
        at_least(0, commitment=commitment)
        if width % groups:
            raise ValueError(f"codes of width {width} do not divide into {groups} groups")
        self.groups, self.entries, self.commitment = groups, entries, commitment
        self.enter = nn.Linear(dim, width)
        # as near to one point as in the authors' code: none is then the nearest of all frames by its length alone
        self.codebook = nn.Parameter(0.01 * torch.randn(groups, entries, width // groups))

    def forward(self, x_HD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss is a mean over features; entries have no other gradient."""
        z = full(self.enter(x_HD)).unflatten(1, (self.groups, -1))
        z = F.layer_norm(z, z.shape[-1:])
        books = full(self.codebook)
        codes = torch.stack([nearest(z[:, g].detach(), books[g].detach()) for g in range(self.groups)], dim=1)
        chosen = torch.stack([books[g, codes[:, g]] for g in range(self.groups)], dim=1)
        pull, push = (chosen - z.detach()).square(), (z - chosen.detach()).square()
        return (z + (chosen - z).detach()).flatten(1), codes, (pull + self.commitment * push).mean((1, 2))
