"""MAE, https://arxiv.org/abs/2111.06377: the encoder sees the visible rows alone, a decoder predicts hidden content.

Differs: content is whatever the domain's tokenizer gives (patch pixels, frames, node features, cubes); the mask token
has the encoder's width, since the decoder projects it like any token; class tokens stay out of the decoder.

    # H hidden rows
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Capability, Loss, MakeDecoder, Needs, View
from unlabeled.errors import UsageError
from unlabeled.nn.decoders import mixes
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.reconstruction import mae_loss
from unlabeled.nn.rows import restore, target_rows


class MAE(nn.Module):
    """Masked autoencoder.

    Args:
        norm_pix: normalize the content of each row before it is predicted; of 2 numbers at least.
    """

    cause = "too high a learning rate; reconstruction alone rarely collapses"

    def __init__(self, encoder: Any, decoder: MakeDecoder, content: int, *, norm_pix: bool = True) -> None:
        super().__init__()
        can: frozenset[Capability] = frozenset({"tokens", "drop"})
        self.needs = Needs(views={"global": 1}, hidden=True, content=1 + norm_pix, decoder=True, encoder=can)
        self.norm_pix = norm_pix
        self.token = nn.Parameter(torch.randn(encoder.dim) * 0.02)
        self.decoder = decoder(dim=encoder.dim, width=content)
        if not mixes(self.decoder):
            raise UsageError("mae hides rows whole, and this decoder reads each row alone: choose another --decoder")

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        return Loss(union_mean(torch.cat([self._rows(encoder, view) for view in views])))

    def _rows(self, encoder: Any, view: View) -> Tensor:
        assert view.layout is not None
        assert view.content is not None
        features = encoder(view, hide="drop")
        whole = restore(features.tokens, features.kept, self.token, view.layout.total)
        index = target_rows(view)
        return mae_loss(self.decoder(whole, view.layout)[index], view.content[index], norm_pix=self.norm_pix)
