"""MAE, https://arxiv.org/abs/2111.06377: the encoder sees the visible rows alone, a decoder predicts hidden content.

Differs: content is whatever the domain's tokenizer gives (patch pixels, frames, node features, cubes); the mask token
has the encoder's width, since the decoder projects it like any token; class tokens stay out of the decoder.

    # T packed rows, H hidden rows, C numbers of content in a row, D features
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, MakeDecoder, Needs, View
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled.nn.rows import restore, target_rows


def normalize_rows(content_HC: Tensor, eps: float = 1e-6) -> Tensor:
    """Each row with mean 0 and (unbiased) variance 1: contrast within a patch, not its brightness."""
    centered = content_HC - content_HC.mean(-1, keepdim=True)
    # spelled out, since torch's var warns where no row is hidden
    variance = centered.square().sum(-1, keepdim=True) / (content_HC.shape[-1] - 1)
    return centered / (variance + eps).sqrt()


def mae_loss(predicted_HC: Tensor, content_HC: Tensor, *, norm_pix: bool = True) -> Tensor:
    """Mean squared error of each hidden row: ``[H]``."""
    target = full(content_HC)
    return (full(predicted_HC) - (normalize_rows(target) if norm_pix else target)).square().mean(-1)


class MAE(nn.Module):
    """Masked autoencoder.

    Args:
        norm_pix: normalize the content of each row before it is predicted.
    """

    def __init__(
        self, encoder: Any, decoder: MakeDecoder | None = None, content: int = 0, *, norm_pix: bool = True
    ) -> None:
        super().__init__()
        if decoder is None:
            raise ValueError("mae needs a decoder, found none: choose one with --decoder")
        if content < 1 + norm_pix:
            raise ValueError(
                f"content has {content} numbers a row; mae needs a tokenizer that gives at least {1 + norm_pix}"
                f"{' (1 with norm_pix off)' if norm_pix else ''}"
            )
        self.needs = Needs(views={"global": 1}, hidden=True, content=1, encoder=frozenset({"tokens", "drop"}))
        self.norm_pix = norm_pix
        self.token = nn.Parameter(torch.randn(encoder.dim) * 0.02)
        self.decoder = decoder(dim=encoder.dim, width=content)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        return Loss(union_mean(torch.cat([self._rows(encoder, view) for view in views])))

    def _rows(self, encoder: Any, view: View) -> Tensor:
        assert view.layout is not None
        assert view.content is not None
        features = encoder(view, hide="drop")
        whole = restore(features.tokens, features.kept, self.token, view.layout.total)
        index = target_rows(view)
        return mae_loss(self.decoder(whole, view.layout)[index], view.content[index], norm_pix=self.norm_pix)
