"""Global and local contrast of volumes, https://arxiv.org/abs/2006.10511 (Chaitanya et al., domain-specific cues).

Global: volumes are cut into S slabs along their last axis; slabs of one place attract across volumes and views, those
of other places repel, since anatomy lies alike in aligned volumes. Each slab goes through the encoder by itself, spread
over the whole of its input: an encoder of the volume would be told by its position embeddings which slab it sees, and
the loss would fall on noise. Local: a decoder's map is pooled to regions; a region attracts itself in the other view
and repels all other regions of its volume. The two views show one crop with different intensities. Differs: slabs
instead of 2D slices, so that any encoder of volumes serves; encoder and decoder are trained together, in the paper one
after the other; regions are told by their place too, where the encoder has position embeddings.

    # B volumes, V views, S slabs, R regions, N anchors of this rank, K keys of all ranks, D width
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Features, Loss, MakeDecoder, Needs, View, role
from unlabeled.errors import above
from unlabeled.nn.distributed import gather, union_mean
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import against, own_rows
from unlabeled.nn.precision import full_precision
from unlabeled_medical3d.ops.grids import dense_map, voxels_of


def slabs_of(images: Tensor, count: int) -> list[Tensor]:
    """``count`` equal parts of ``[B, C, X, Y, Z]`` along z, each spread over the size of the whole."""
    deep = images.shape[-1]
    if deep < count:
        raise ValueError(f"views have {deep} voxels along z; they cannot be cut into {count} slabs")
    bounds = [deep * number // count for number in range(count + 1)]
    return [
        F.interpolate(images[..., start:end], images.shape[2:], mode="trilinear", align_corners=False)
        for start, end in pairwise(bounds)
    ]


def slab_loss(z_BVSD: Tensor, temperature: float) -> Tensor:
    """-log e^p / (e^p + sum of e^n) of unit vectors, mean over the anchors of this rank and their positives p.

    A positive is the same slab of any other volume or view, a negative n any other slab.
    """
    slabs = z_BVSD.shape[2]
    keys_KD, anchors_ND = gather(z_BVSD).flatten(0, 2), z_BVSD.flatten(0, 2)
    place_K = torch.arange(len(keys_KD), device=keys_KD.device)
    own_N = own_rows(anchors_ND)
    same_NK = own_N[:, None] % slabs == place_K % slabs
    positive_NK = same_NK & (own_N[:, None] != place_K)
    logits_NK = anchors_ND @ keys_KD.T / temperature
    apart_N = logits_NK.masked_fill(same_NK, float("-inf")).logsumexp(1, keepdim=True)
    terms_NK = against(apart_N, logits_NK)
    return terms_NK.masked_fill(~positive_NK, 0.0).sum() / positive_NK.sum()


def region_loss(first_BRD: Tensor, second_BRD: Tensor, temperature: float) -> Tensor:
    """NT-Xent among the regions of each volume alone, unit vectors of two views: ``[B]``."""
    both = torch.cat((first_BRD, second_BRD), 1)
    regions = first_BRD.shape[1]
    logits = both @ both.transpose(1, 2) / temperature
    itself = torch.eye(2 * regions, dtype=torch.bool, device=both.device)
    logits = logits.masked_fill(itself, float("-inf"))
    target = torch.arange(2 * regions, device=both.device).roll(regions).expand(len(both), -1)
    return F.cross_entropy(logits.transpose(1, 2), target, reduction="none").mean(1)


class GlobalLocal(nn.Module):
    """Global contrast of slabs plus local contrast of regions.

    Args:
        slabs: S in the paper: equal parts of a volume along its last axis, at most its voxels there.
        regions: parts of a decoded map along each axis that are contrasted; at most the rows along it.
        dim: width of the projections.
        temperature: of both losses, above 0; tau = 0.1 in the paper.
        local: weight of the local loss beside the global one.
    """

    cause = "views that share a shortcut, too high a temperature, or too high a learning rate"

    def __init__(
        self,
        encoder: Any,
        decoder: MakeDecoder,
        *,
        slabs: int = 4,
        regions: int = 3,
        dim: int = 128,
        temperature: float = 0.1,
        local: float = 1.0,
    ) -> None:
        super().__init__()
        above(1, slabs=slabs, regions=regions)
        above(0, dim=dim, temperature=temperature, local=local)
        self.needs = Needs(views={"global": 2}, encoder=frozenset({"tokens"}), decoder=True, batch=2, couples=True)
        self.slabs, self.regions, self.temperature, self.local = slabs, regions, temperature, local
        self.projector = mlp((encoder.dim, encoder.dim, dim), norm="none")
        self.decoder = decoder(dim=encoder.dim, width=dim)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        seen = role(views, "global")
        features = [encoder(view.clean()) for view in seen]
        slabs = torch.stack([self.projector(self._slabs(encoder, view)) for view in seen], 1)
        maps = [self._regions(found) for found in features[:2]]
        with full_precision(slabs):
            whole = slab_loss(unit(slabs.flatten(0, 2)).reshape(slabs.shape), self.temperature)
            first, second = (unit(m.flatten(0, 1)).reshape(m.shape) for m in maps)
            local = union_mean(region_loss(first, second, self.temperature))
        return Loss(whole + self.local * local, {"global": whole.detach(), "local": local.detach()})

    def _slabs(self, encoder: Any, view: View) -> Tensor:
        """``[B, S, D]``: pooled features of each slab alone."""
        parts = slabs_of(voxels_of(view), self.slabs)
        batch: Any = view.batch
        alone = [replace(view.clean(), batch=replace(batch, images=part)) for part in parts]
        return torch.stack([encoder(each).pooled for each in alone], 1)

    def _regions(self, features: Features) -> Tensor:
        """``[B, R, D]``: mean of the decoded rows of each region."""
        painted = self.decoder(features.tokens, features.layout)
        found = _grid_map(features, painted, self.regions, axes=(0, 1, 2))
        return F.adaptive_avg_pool3d(found, self.regions).flatten(2).transpose(1, 2)


def _grid_map(features: Features, rows_TD: Tensor, least: int, axes: tuple[int, ...]) -> Tensor:
    grid = features.layout.grid
    assert grid is not None, "global_local needs an encoder whose rows form a grid"
    if min(grid[axis] for axis in axes) < least:
        raise ValueError(f"the encoder's rows form a grid of {grid}; it cannot be cut into {least} parts along an axis")
    return dense_map(rows_TD, grid)
