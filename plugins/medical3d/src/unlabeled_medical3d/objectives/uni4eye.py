"""Uni4Eye, https://arxiv.org/abs/2203.04614: a masked autoencoder that paints intensities and their gradient map.

The encoder sees the visible cubes alone; one decoder paints the hidden cubes, a second one the length of the gradient
there; the two mean squared errors are summed. Volumes and single slices share the Transformer and the decoders, each
through a patch embedding of its own (the encoder's ``planar``); of a painted cube, a slice's square is the mean along
z. Differs: the 2D data are slices of the volumes; the gradient is the central difference of voxels, where the authors
take Sobel maps of images.

    # T packed rows, H hidden rows, W numbers of a cube
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, MakeDecoder, Needs, View
from unlabeled.errors import above
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.reconstruction import mae_loss
from unlabeled.nn.rows import restore, target_rows
from unlabeled_medical3d.ops.grids import cubes, gradient_magnitude, voxels_of


class Uni4Eye(nn.Module):
    """Masked intensities and masked gradients.

    Args:
        gradient: weight of the gradient branch.
        norm_pix: normalize each cube before it is painted, as MAE may.
    """

    def __init__(
        self,
        encoder: Any,
        decoder: MakeDecoder,
        content: int,
        *,
        gradient: float = 1.0,
        norm_pix: bool = False,
    ) -> None:
        super().__init__()
        above(0, gradient=gradient)
        self.needs = Needs(
            views={"global": 1}, hidden=True, decoder=True, content=2, encoder=frozenset({"tokens", "drop"})
        )
        self.gradient, self.norm_pix = gradient, norm_pix
        self.token = nn.Parameter(torch.randn(encoder.dim) * 0.02)
        self.intensities = decoder(dim=encoder.dim, width=content)
        self.edges = decoder(dim=encoder.dim, width=content)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        found = [self._rows(encoder, view) for view in views]
        intensity, edge = (union_mean(torch.cat([pair[i] for pair in found])) for i in range(2))
        return Loss(intensity + self.gradient * edge, {"intensity": intensity.detach(), "gradient": edge.detach()})

    def _rows(self, encoder: Any, view: View) -> tuple[Tensor, Tensor]:
        layout = view.layout
        assert layout is not None
        assert layout.grid is not None
        assert view.content is not None
        features = encoder(view, hide="drop")
        whole = restore(features.tokens, features.kept, self.token, layout.total)
        index = target_rows(view)
        sharp = cubes(gradient_magnitude(voxels_of(view)), layout.grid)
        painted, lines = (flattened(d(whole, layout)[index], sharp.shape[1]) for d in (self.intensities, self.edges))
        return (
            mae_loss(painted, view.content[index], norm_pix=self.norm_pix),
            mae_loss(lines, sharp[index], norm_pix=False),
        )


def flattened(cubes_HW: Tensor, width: int) -> Tensor:
    """Painted cubes as squares of ``width`` numbers, the mean along z; cubes of that width as they are."""
    return cubes_HW.unflatten(1, (width, -1)).mean(2)
