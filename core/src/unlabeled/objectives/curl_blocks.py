"""CURL with blocks, https://arxiv.org/abs/1902.09229, section 6.2: a sample against means of blocks of views.

The first view of a sample is to be nearer to the mean of its other views than to the mean of another sample's. Means of
blocks bound the loss of a mean classifier more tightly than single views do. Differs: the negatives are the blocks of
all other samples of the batch, where the paper draws k of them, by the logistic loss of its definition 2.3.

    # B samples of all ranks, b samples of this rank, V views, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import own_rows
from unlabeled.nn.precision import full_precision


def block_loss(z_VbD: Tensor, temperature: float = 1.0) -> Tensor:
    """log(1 + sum over other samples of exp(-f(x)^T (mean of own block - mean of theirs) / temperature)), the mean.

    >>> block_loss(torch.eye(2).expand(3, 2, 2))
    tensor(0.3133)
    """
    anchor, blocks = z_VbD[0], gather(z_VbD[1:].mean(0))
    logits = anchor @ blocks.T / temperature
    return F.cross_entropy(logits, own_rows(anchor))  # its term of the own block is the 1


class CURLBlocks(nn.Module):
    """Tell the block of a sample's other views from those of other samples.

    Args:
        projector: widths of the projection head after the encoder, hidden and output.
        temperature: divides the products, above 0; the paper has none, of vectors of bounded length.
    """

    cause = "views that share a shortcut, too high a temperature, or too high a learning rate"

    def __init__(self, encoder: Any, *, projector: tuple[int, ...] = (512, 128), temperature: float = 0.2) -> None:
        super().__init__()
        above(0, temperature=temperature)
        self.needs = Needs(views={"global": 2}, uses=("local",), batch=2, couples=True)
        self.temperature = temperature
        self.projector = mlp((encoder.dim, *projector))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        chosen = [*role(views, "global"), *role(views, "local")]
        z = [self.projector(encoder(view).pooled) for view in chosen]
        with full_precision(z[0]):
            total = block_loss(torch.stack([unit(z_BD) for z_BD in z]), self.temperature)
        return Loss(total, {"block": total.detach()})
