"""I-JEPA, https://arxiv.org/abs/2301.08243: predict a momentum teacher's tokens of hidden blocks from a context.

The encoder sees the context alone (the rows that the mask does not hide); a narrow predictor is asked for each block
by its positions. Differs: smooth L1 on layer-normalized targets, as the authors' code has it, where the paper writes
L2; blocks may differ in size, and the mean is over all rows of all blocks; the predictor embeds any number of
coordinates, and none (rows of a graph).

    # G groups, T packed rows, H rows of all blocks, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout, Loss, Needs, Progress, View
from unlabeled.errors import within
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled.nn.predictor import TokenPredictor
from unlabeled.nn.rows import target_rows
from unlabeled.nn.spread import deviation
from unlabeled.nn.teacher import Teacher, linear_momentum


def i_jepa_loss(predicted_HD: Tensor, teacher_HD: Tensor) -> Tensor:
    """Smooth L1 distance of each row from the layer-normalized ``teacher_HD``: ``[H]``."""
    target = F.layer_norm(full(teacher_HD), teacher_HD.shape[-1:])
    return F.smooth_l1_loss(full(predicted_HD), target, reduction="none").mean(-1)


class IJEPA(nn.Module):
    """Image-based joint-embedding predictive architecture, for any rows with positions.

    Args:
        width: of the predictor; 0 = half of the encoder's, as the paper's ViT-B has it, at least 64.
        depth: blocks of the predictor.
        heads: attention heads of the predictor; must divide its width; 0 = one for each 32 features.
        momentum: of the teacher at the start; it rises linearly to 1.
    """

    cause = "targets that become constant: raise the teacher's momentum, lower the learning rate, or hide more"

    def __init__(
        self, encoder: Any, *, width: int = 0, depth: int = 6, heads: int = 0, momentum: float = 0.996
    ) -> None:
        super().__init__()
        within(0, 1, momentum=momentum)
        self.needs = Needs(views={"global": 1}, hidden=True, predict=1, encoder=frozenset({"tokens", "drop"}))
        self.momentum = momentum
        width = width or max(64, encoder.dim // 2 // 64 * 64)
        heads = heads or max(1, width // 32)
        self.predictor = TokenPredictor(encoder.dim, width=width, depth=depth, heads=heads)
        self.teacher = Teacher(encoder=encoder)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        rows, deviations = zip(*(self._rows(encoder, view) for view in views), strict=True)
        return Loss(union_mean(torch.cat(rows)), {"target_std": torch.stack(deviations).mean()})

    def _rows(self, encoder: Any, view: View) -> tuple[Tensor, Tensor]:
        layout = view.layout
        assert layout is not None
        with torch.no_grad():
            target = self.teacher.encoder(view.clean()).tokens[target_rows(view)]
        context = encoder(view, hide="drop")
        sets = [Layout(rows.lengths, layout.position[rows.index]) for rows in view.predict]
        predicted = self.predictor(context.tokens, context.layout, sets)
        return i_jepa_loss(predicted, target), deviation(target)

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the teacher to the student."""
        self.teacher.update(linear_momentum(self.momentum, 1.0, progress), encoder=encoder)
