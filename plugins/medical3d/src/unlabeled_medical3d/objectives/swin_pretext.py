"""SwinUNETR's pre-training, https://arxiv.org/abs/2111.14791: inpainting, rotation and contrast, summed.

Two views of a sub-volume are each turned by a multiple of 90 degrees about one axis and cut out: L1 between what the
decoder paints and the *turned, uncut* view; cross-entropy of the turn; NT-Xent between the two. Differs: heads read the
pooled vector, where the authors' code reads the first two cells of the last map; NT-Xent is finite at every temperature
and has the samples of all ranks as negatives; a decoder over rows serves any encoder.

    # B volumes, D features, T rows
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, MakeDecoder, Needs, View
from unlabeled.errors import above
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.heads import unit
from unlabeled.nn.infonce import nt_xent
from unlabeled.nn.precision import full, full_precision
from unlabeled_medical3d.decoders.painter import pairs_of
from unlabeled_medical3d.ops.grids import cubes, voxels_of

TURNS = 4


def rotation_loss(logits_B4: Tensor, turns_B: Tensor) -> Tensor:
    """Cross-entropy of each sample's number of quarter turns: ``[B]``."""
    return F.cross_entropy(full(logits_B4), turns_B.long() % TURNS, reduction="none")


def target_cubes(encoder: Any, source: View, target: View) -> Tensor:
    """``[T, W]``: the target's voxels, cut as the encoder cuts the source."""
    layout = source.layout or encoder.layout(source.batch)
    assert layout.grid is not None, "inpainting needs an encoder whose rows form a grid"
    return cubes(voxels_of(target), layout.grid)


class SwinPretext(nn.Module):
    """Inpainting + rotation + contrast.

    Args:
        dim: width of the contrastive projection; 512 in the paper.
        temperature: of NT-Xent, above 0; t = 0.5 in the paper.
        inpainting: weight of the L1 term, lambda_1.
        contrast: weight of NT-Xent, lambda_2.
        rotation: weight of the rotation's cross-entropy, lambda_3.
    """

    def __init__(
        self,
        encoder: Any,
        decoder: MakeDecoder,
        content: int,
        *,
        dim: int = 512,
        temperature: float = 0.5,
        inpainting: float = 1.0,
        contrast: float = 1.0,
        rotation: float = 1.0,
    ) -> None:
        super().__init__()
        above(0, dim=dim, temperature=temperature, inpainting=inpainting, contrast=contrast, rotation=rotation)
        self.needs = Needs(
            views={"source": 2, "target": 2},
            encoder=frozenset({"tokens"}),
            decoder=True,
            content=1,
            params=("rotation",),
            batch=2,
            couples=True,
        )
        self.temperature = temperature
        self.weights = {"inpainting": inpainting, "contrast": contrast, "rotation": rotation}
        self.decoder = decoder(dim=encoder.dim, width=content)
        self.project = nn.Linear(encoder.dim, dim)
        self.turn = nn.Linear(encoder.dim, TURNS)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        painted, turned, projected = [], [], []
        for source, target in pairs_of(views):
            features = encoder(source.clean())
            out = self.decoder(features.tokens, features.layout)
            painted.append((full(out) - full(target_cubes(encoder, source, target))).abs().mean(-1))
            turned.append(rotation_loss(self.turn(features.pooled), source.params["rotation"].flatten()))
            projected.append(self.project(features.pooled))
        with full_precision(projected[0]):
            pairs = combinations([unit(z_BD) for z_BD in projected], 2)
            contrast = torch.stack([nt_xent(a, b, self.temperature) for a, b in pairs]).mean()
        terms = {
            "inpainting": union_mean(torch.cat(painted)),
            "contrast": contrast,
            "rotation": union_mean(torch.cat(turned)),
        }
        total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return Loss(total, {name: term.detach() for name, term in terms.items()})
