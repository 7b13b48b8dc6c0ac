"""Agreement by cosine: of predictions with targets across views, and the scaled error of reconstructed rows.

BYOL, https://arxiv.org/abs/2006.07733; GraphMAE, https://arxiv.org/abs/2205.10803.

    # B samples, D features, H predicted rows, C numbers of content in a row
"""

from collections.abc import Sequence
from itertools import permutations

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.nn.precision import full


def cosine(prediction_BD: Tensor, target_BD: Tensor) -> Tensor:
    """Mean cosine similarity; no gradient flows into the target.

    >>> cosine(torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
    tensor(0.6000)
    """
    return F.cosine_similarity(full(prediction_BD), full(target_BD.detach()), dim=1, eps=1e-8).mean()


def across(predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Mean of :func:`cosine` over all ordered pairs of different views.

    >>> across([torch.eye(2), torch.eye(2)], [torch.eye(2), -torch.eye(2)])
    tensor(0.)
    """
    pairs = permutations(range(len(predictions)), 2)
    return torch.stack([cosine(predictions[i], targets[j]) for i, j in pairs]).mean()


def scaled_cosine(predicted_HC: Tensor, content_HC: Tensor, power: float) -> Tensor:
    """``[H]``: (1 - cosine) ** power, which weighs easy rows down; a row of zeros has cosine 0, and gradient 0.

    It has no direction to turn; the slope of a cosine there is that of 1 / 0, and one such row would drown a step.

    >>> scaled_cosine(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]]), power=2.0)
    tensor([0.1600])
    """
    x_HC = full(predicted_HC)
    x_HC = torch.where(x_HC.detach().any(dim=1, keepdim=True), x_HC, x_HC.detach())
    similarity = F.cosine_similarity(x_HC, full(content_HC), dim=1, eps=1e-8)
    return (1 - similarity).clamp(min=0).pow(power)
