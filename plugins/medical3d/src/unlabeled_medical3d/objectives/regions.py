"""Regions of one place and one intensity, found by k-means over the voxels of all volumes, and segmented.

Pseudo-labels by k-means as in DeepCluster, https://arxiv.org/abs/1807.05520, for a segmentation network as with
superpixels, https://arxiv.org/abs/2007.09886. Differs: a voxel is described by its mm from the middle of its volume and
by its smoothed intensity, not by features, so labels need no second round; clusters are found once, on the first batch,
and stay. The loss is that of Volume Fusion. For volumes of one aligned region, where a place means the same in all.

    # B volumes, V voxels, C channels, K regions
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, MakeDecoder, Needs, View
from unlabeled.errors import above, at_least
from unlabeled.nn.distributed import gather
from unlabeled.nn.kmeans import lloyd
from unlabeled.nn.precision import full_precision
from unlabeled_medical3d.decoders.painter import Painter, painted_classes, pairs_of
from unlabeled_medical3d.ops.grids import voxels_of
from unlabeled_medical3d.views.augment import smooth_

ROUNDS = 25  # of k-means
PICKED = 2000  # voxels of a volume that k-means sees


def places(from_center_B44: Tensor, size: Sequence[int]) -> Tensor:
    """``[B, 3, X, Y, Z]``: mm from the middle of its volume of each voxel of a view."""
    axes = (torch.arange(n, dtype=from_center_B44.dtype, device=from_center_B44.device) for n in size)
    grid_3XYZ = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    turned = torch.einsum("bij,jxyz->bixyz", from_center_B44[:, :3, :3], grid_3XYZ)
    return turned + from_center_B44[:, :3, 3, None, None, None]


def k_means(points_ND: Tensor, count: int) -> Tensor:
    """``[K, D]``: centers, from ``count`` points evenly spaced among those given; one that loses all points stays."""
    start = points_ND[torch.linspace(0, len(points_ND) - 1, count, device=points_ND.device).long()]
    return lloyd(points_ND, start, rounds=ROUNDS)


class Regions(nn.Module):
    """Cross-entropy and Dice of each voxel's region; the source view is read, the target view gives the regions.

    Args:
        regions: K.
        intensity: mm that one deviation of intensity counts for: the larger, the closer regions follow tissues.
        blur: voxels, deviation of the Gaussian that intensities are smoothed by; 0 = none.
        dice: weight of the Dice term beside the cross-entropy.
        paint: unet trains a decoder with skips beside the encoder; rows paints each row's cube; auto = unet where the
            encoder gives a map a stage.
    """

    centers: Tensor
    found: Tensor

    def __init__(
        self,
        encoder: Any,
        decoder: MakeDecoder,
        content: int,
        *,
        regions: int = 32,
        intensity: float = 6.0,
        blur: float = 1.0,
        dice: float = 1.0,
        paint: Literal["auto", "unet", "rows"] = "auto",
    ) -> None:
        super().__init__()
        above(1, regions=regions)
        above(0, intensity=intensity)
        at_least(0, blur=blur, dice=dice)
        self.painter = Painter(encoder, decoder, content, regions, paint)
        self.needs = Needs(views={"source": 1, "target": 1}, params=("from_center",), **self.painter.asks)
        self.intensity, self.blur, self.dice = intensity, blur, dice
        self.register_buffer("centers", torch.zeros(regions, 3 + encoder.spec.channels))
        self.register_buffer("found", torch.zeros((), dtype=torch.bool))
        self._known = False  # the same on the host: reading a tensor at each step would wait for an accelerator

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._known = bool(self.found)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        found = []
        for source, target in pairs_of(views):
            with full_precision(voxels_of(target)):
                region_BV = self.regions_of(target)
            found.append((self.painter(encoder, source), region_BV))
        return painted_classes(found, self.dice)

    @torch.no_grad()
    def regions_of(self, target: View) -> Tensor:
        """``int64[B, V]``: the nearest center of each voxel."""
        images = voxels_of(target).float()
        still = torch.ones(len(images))
        smooth = smooth_(images.clone(), still * self.blur, still)
        place = places(target.params["from_center"], images.shape[2:]).to(images)
        points_BVD = torch.cat((place, self.intensity * smooth), 1).flatten(2).transpose(1, 2)
        if not self._known:
            step = max(1, points_BVD.shape[1] // PICKED)
            self.centers.copy_(k_means(gather(points_BVD[:, ::step].contiguous()).flatten(0, 1), len(self.centers)))
            self.found.fill_(True)
            self._known = True
        centers = self.centers.float()
        return torch.stack([torch.cdist(points, centers).argmin(1) for points in points_BVD])
