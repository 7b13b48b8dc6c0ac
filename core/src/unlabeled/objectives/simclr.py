"""SimCLR, https://arxiv.org/abs/2002.05709: NT-Xent between the views of a batch.

Differs: takes any number of global views and averages the loss over their pairs; the encoder sees one view at a time,
so an encoder's BatchNorm normalizes each view apart.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above, at_least
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import nt_xent
from unlabeled.nn.precision import full_precision


class SimCLR(nn.Module):
    """Pull two views of a sample together, push all other samples of the batch away.

    Args:
        projector: widths of the projection head after the encoder, hidden and output; (2048, 128) in the paper.
        temperature: of the softmax over similarities, above 0; tau in the paper, which has 0.5 on
            CIFAR-10 and 0.1 on ImageNet.
        chunk: rows of the similarity matrix held at a time: memory grows with B, not with its square; 0 = all.
    """

    cause = "views that share a shortcut, too high a temperature, or too high a learning rate"

    def __init__(
        self, encoder: Any, *, projector: tuple[int, ...] = (512, 128), temperature: float = 0.5, chunk: int = 0
    ) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, chunk=chunk)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.temperature, self.chunk = temperature, chunk
        self.projector = mlp((encoder.dim, *projector))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")]
        with full_precision(z[0]):
            units = [unit(z_BD) for z_BD in z]
            pairs = [nt_xent(a, b, self.temperature, chunk=self.chunk) for a, b in combinations(units, 2)]
            total = torch.stack(pairs).mean()
        return Loss(total, {"nt_xent": total.detach()})
