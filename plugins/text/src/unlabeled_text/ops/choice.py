"""SALT's score of texts, https://arxiv.org/abs/2410.18779: how hard they are to a small model that could learn them.

# B texts, H words that another precedes, V words of the vocabulary
"""

import torch
from torch import Tensor

from unlabeled_text.ops.vocabulary import word_loss


def scores(logits_HV: Tensor, words_H: Tensor, group_H: Tensor, groups: int, likely: int) -> Tensor:
    """``[B]``: the median of the losses of each text's words, 0 for a word beyond the ``likely`` likeliest."""
    loss_H = word_loss(logits_HV, words_H)
    right = logits_HV.gather(1, words_H[:, None])
    loss_H = loss_H * ((logits_HV > right).sum(1) < likely)
    order = loss_H.argsort()
    order = order[group_H[order].argsort(stable=True)]  # by text, and by loss in each
    count = torch.bincount(group_H, minlength=groups)
    middle = count.cumsum(0) - count + (count - 1).clamp(min=0) // 2
    found = torch.cat((loss_H[order], loss_H.new_zeros(1)))[middle]
    return torch.where(count > 0, found, 0.0)
