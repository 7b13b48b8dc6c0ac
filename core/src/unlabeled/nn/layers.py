"""The last layers of a teacher, normalized and averaged: contextual targets, as data2vec has them.

https://arxiv.org/abs/2202.03555.

    # T packed rows, D features
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Features, Layout, View
from unlabeled.errors import UsageError
from unlabeled.nn.precision import full


@torch.no_grad()
def last_layers(encoder: Any, view: View, count: int, *, feed: bool = False) -> tuple[Features, ...]:
    """What the last ``count`` blocks of ``encoder`` give for the whole view, nothing hidden.

    ``feed``: what their feed-forward parts give, before it is added; of blocks without (Mamba), their output.

    >>> [features.tokens.shape for features in last_layers(encoder, masked, 2)]
    [torch.Size([64, 8]), torch.Size([64, 8])]
    """
    try:
        found: tuple[Features, ...] = encoder(view.clean(), layers=tuple(range(-count, 0))).layers
    except IndexError as error:
        raise UsageError(f"layers is {count}, more than the encoder has: lower --objective.layers") from error
    if not feed:
        return found
    return tuple(f if f.feed is None else replace(f, tokens=f.feed) for f in found)


def instance_norm(x_TD: Tensor, layout: Layout, eps: float = 1e-5) -> Tensor:
    """Each feature with mean 0 and (biased) variance 1 over the rows of its group.

    >>> instance_norm(torch.tensor([[1.0], [3.0], [9.0]]), Layout((2, 1), torch.zeros(3, 0))).flatten()
    tensor([-1.0000,  1.0000,  0.0000])
    """
    centered = x_TD - layout.mean(x_TD)[layout.group]
    return centered * torch.rsqrt(layout.mean(centered.square()) + eps)[layout.group]


def average_layers(layers: Sequence[Features], norm: str) -> Tensor:
    """The mean of the normalized outputs of ``layers``: ``[T, D]``; ``norm`` is layer, instance or none.

    >>> average_layers(last_layers(encoder, views[0], 2), "layer").shape
    torch.Size([64, 8])
    """
    shapes = {(features.layout.lengths, features.tokens.shape[1]) for features in layers}
    if len(shapes) > 1:
        found = ", ".join(f"{len(f.tokens)} x {f.tokens.shape[1]}" for f in layers)
        raise ValueError(
            f"layers of different shapes cannot be averaged (rows x features: {found}): lower --objective.layers, "
            "or choose an encoder whose blocks share one grid and width"
        )
    return torch.stack([_normalize(full(f.tokens), f.layout, norm) for f in layers]).mean(0)


def _normalize(x_TD: Tensor, layout: Layout, norm: str) -> Tensor:
    if norm == "none":
        return x_TD
    return instance_norm(x_TD, layout) if norm == "instance" else F.layer_norm(x_TD, x_TD.shape[-1:])
