"""Rows that a mask hides: shown as a mask token, or dropped and put back; and the rows that the loss is about.

BERT's token, https://arxiv.org/abs/1810.04805; MAE's dropped rows, https://arxiv.org/abs/2111.06377. A view's
``hidden`` rows are kept from the encoder, its ``targets`` are predicted, its ``swap`` says where each row comes from.

    # T packed rows, H hidden rows, K kept rows, B samples, N rows of a sample, R prefix tokens, D features
"""

from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Hide, Layout, Needs, Rows, View


def target_rows(view: View) -> Tensor:
    """``int64[H]``: the rows where the loss applies, set after set.

    >>> sets = Rows(torch.tensor([1]), (1,)), Rows(torch.tensor([0, 3]), (2,))
    >>> target_rows(View(None, "global", predict=sets))
    tensor([1, 0, 3])
    """
    assert view.targets, "the mask set no rows"
    return torch.cat([rows.index for rows in view.targets])


def learn_mask_token(encoder: Any, needs: Needs) -> None:
    """An encoder's ``prepare``: its ``mask_token`` learns only where rows are masked, and has a gradient.

    >>> learn_mask_token(encoder, Needs(views={"global": 1}, encoder=("tokens",)))
    >>> encoder.mask_token.requires_grad
    False
    """
    token = getattr(encoder, "mask_token", None)
    if token is not None:
        token.requires_grad_("mask" in needs.encoder)


def edit(x_TD: Tensor, view: View, hide: Hide, token_D: Tensor) -> Tensor:
    """Rows after the view's swap, and with ``token_D`` at hidden ones where ``hide`` is mask.

    >>> view = View(None, "global", hidden=Rows(torch.tensor([1]), (1,)))
    >>> edit(torch.ones(3, 2), view, "mask", torch.zeros(2))
    tensor([[1., 1.],
            [0., 0.],
            [1., 1.]])
    """
    if view.swap is not None:
        x_TD = x_TD[view.swap]
    if view.hidden is None or hide != "mask":
        return x_TD
    return x_TD.index_copy(0, view.hidden.index, token_D.to(x_TD.dtype).expand(len(view.hidden), -1))


def drop(x_TD: Tensor, view: View, layout: Layout, hide: Hide) -> tuple[Tensor, Layout, Rows | None]:
    """The rows that remain, their layout, and which they are; all, and None, unless ``hide`` is drop.

    >>> view = View(None, "global", hidden=Rows(torch.tensor([1]), (1,)))
    >>> x, layout, kept = drop(torch.ones(3, 2), view, Layout((3,), torch.zeros(3, 0)), "drop")
    >>> layout.lengths, kept.index
    ((2,), tensor([0, 2]))
    """
    if view.hidden is None or hide != "drop":
        return x_TD, layout, None
    kept = view.hidden.complement(layout)
    return x_TD[kept.index], layout.select(kept.index, kept.lengths), kept


def keep_dense(x_BND: Tensor, kept: Rows, prefix: int = 0) -> Tensor:
    """The prefix and the kept rows of samples that keep equally many: ``[B, R + N, D] -> [B, R + K, D]``.

    >>> keep_dense(torch.arange(8.0).view(2, 4, 1), Rows(torch.tensor([0, 3, 5, 6]), (2, 2))).flatten().tolist()
    [0.0, 3.0, 5.0, 6.0]
    """
    if len(set(kept.lengths)) > 1:
        raise ValueError(
            f"a ViT drops the same number of rows of each sample; this mask leaves {min(kept.lengths)} to "
            f"{max(kept.lengths)}. Choose a mask of an exact count"
        )
    rows_BKD = x_BND[:, prefix:].flatten(0, 1).index_select(0, kept.index).unflatten(0, (len(x_BND), -1))
    return torch.cat((x_BND[:, :prefix], rows_BKD), dim=1) if prefix else rows_BKD


def restore(tokens: Tensor, kept: Rows | None, token_D: Tensor, total: int) -> Tensor:
    """The whole sequence ``[T, D]``: ``tokens`` at the rows that were kept, ``token_D`` at those that were dropped.

    >>> restore(torch.ones(1, 2), Rows(torch.tensor([1]), (1,)), torch.zeros(2), 2)
    tensor([[0., 0.],
            [1., 1.]])
    """
    if kept is None:
        return tokens
    whole = token_D.to(tokens.dtype).expand(total, -1)
    return whole.index_copy(0, kept.index, tokens)
