"""Voxel segmentation on any encoder: heads over its rows, loss, sliding windows over whole volumes, scores in mm.

Scores are MONAI's: Dice, the 95th percentile of the Hausdorff distance, and the surface Dice at a tolerance (share of
the two surfaces that lie within it), distances by the spacing. A label that is in neither volume is left out of the
mean; one that is missed or made up scores 0, and the volume's diagonal as its distance.

    # B volumes, K classes (background first), C channels, X Y Z voxels, T rows, D features
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from monai.inferers import sliding_window_inference
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice
from torch import Tensor, nn

from unlabeled.contract import Layout, View
from unlabeled.errors import UsageError, below_one
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.decoders.upward import Upward, climbs, maps_of
from unlabeled_medical3d.ops.grids import cube_sides, dense_map, uncubes

Kind = Literal["auto", "unet", "linear", "light"]
SCORES = ("dice", "hd95", "surface_dice")


# ---------------------------------------------------------------------------------------------- heads


class LinearHead(nn.Module):
    """One linear map from a row to the class scores of its cube's voxels: rows ``[T, D] -> [B, K, X, Y, Z]``."""

    def __init__(self, dim: int, classes: int, size: Sequence[int], grid: Sequence[int], channels: int) -> None:
        super().__init__()
        self.size = tuple(size)
        sides = cube_sides(self.size, tuple(grid))
        self.linear = nn.Linear(dim, classes * sides[0] * sides[1] * sides[2])

    def forward(self, rows_TD: Tensor, layout: Layout, images: Tensor) -> Tensor:
        assert layout.grid is not None
        return uncubes(self.linear(rows_TD), layout.grid, self.size)


class LightHead(nn.Module):
    """A small decoder: rows are widened to voxels step by step, and meet the image in the last two convolutions."""

    def __init__(
        self, dim: int, classes: int, size: Sequence[int], grid: Sequence[int], channels: int, width: int = 8
    ) -> None:
        super().__init__()
        self.size = tuple(size)
        cube_sides(self.size, tuple(grid))
        self.enter = _block(dim, 8 * width)
        # narrowed before it is widened to voxels, where every channel costs
        self.up = nn.Sequential(_block(8 * width, 4 * width), nn.Conv3d(4 * width, width, 1))
        self.stem = _block(channels, width)
        self.leave = nn.Sequential(_block(2 * width, width), nn.Conv3d(width, classes, 1))

    def forward(self, rows_TD: Tensor, layout: Layout, images: Tensor) -> Tensor:
        assert layout.grid is not None
        x = self.enter(dense_map(rows_TD, layout.grid))
        x = self.up(F.interpolate(x, scale_factor=2.0, mode="trilinear"))
        x = F.interpolate(x, self.size, mode="trilinear")
        logits: Tensor = self.leave(torch.cat((x, self.stem(images)), 1))
        return logits


def _block(wide_in: int, wide_out: int) -> nn.Sequential:
    # GroupNorm, since BatchNorm's statistics of two volumes are noise
    norm = nn.GroupNorm(min(8, wide_out), wide_out)
    return nn.Sequential(nn.Conv3d(wide_in, wide_out, 3, padding=1, bias=False), norm, nn.GELU())


HEADS: dict[str, Any] = {"linear": LinearHead, "light": LightHead}


class Segmenter(nn.Module):
    """An encoder with a head: normalized images ``[B, C, X, Y, Z]`` of the spec's size to logits ``[B, K, ...]``.

    ``unet`` climbs up on the maps of every stage; ``auto`` is that where the encoder has them, else ``light``.
    """

    def __init__(self, encoder: Any, spec: VolumeSpec, classes: int, kind: Kind) -> None:
        super().__init__()
        self.encoder, self.spec = encoder, spec
        self.kind = ("unet" if climbs(encoder) else "light") if kind == "auto" else kind
        self.head: Any
        if self.kind == "unet":
            self.head = Upward(encoder, classes)
            return
        grid = encoder.layout(batch_of(torch.zeros(1, spec.channels, *spec.size))).grid
        if grid is None:
            raise ValueError("segmentation needs an encoder whose rows form a grid")
        self.head = HEADS[self.kind](encoder.dim, classes, spec.size, grid, spec.channels)

    @torch.no_grad()
    def start_from(self, shares_K: Tensor) -> None:
        """Scores start at the log of each class's share of the voxels, https://arxiv.org/abs/1708.02002.

        From equal shares, the first steps push every rare class down together, and some are never found again.
        """
        layer = {"unet": "output_block", "light": "leave", "linear": "linear"}[self.kind]
        (*_, bias) = (p for name, p in getattr(self.head, layer).named_parameters() if name.endswith("bias"))
        by_class = bias.view(len(shares_K), -1)
        by_class.copy_(shares_K.to(bias).log()[:, None].expand_as(by_class))

    def forward(self, images: Tensor) -> Tensor:
        view = View(batch_of(images), "clean")
        logits: Tensor
        if self.kind == "unet":
            logits = self.head(maps_of(self.encoder, view), images)
        else:
            features = self.encoder(view)
            logits = self.head(features.tokens, features.layout, images)
        return logits


def batch_of(images: Tensor) -> VolumeBatch:
    """Images as a batch without a place in the world."""
    count = len(images)
    affine = torch.eye(4, dtype=torch.float64, device=images.device).expand(count, 4, 4)
    return VolumeBatch(torch.arange(count, device=images.device), images, affine)


# ---------------------------------------------------------------------------------------------- loss


def segmentation_loss(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Cross-entropy plus 1 - soft Dice of the labels beside background, over the voxels of the batch."""
    logits = logits_BK.float()
    crossed = F.cross_entropy(logits, labels_B)
    true = F.one_hot(labels_B, logits.shape[1]).movedim(-1, 1)[:, 1:].to(logits.dtype)
    shares = logits.softmax(1)[:, 1:]
    axes = (0, 2, 3, 4)
    dice = (2 * (shares * true).sum(axes) + 1) / ((shares + true).sum(axes) + 1)
    return crossed + 1 - dice.mean()


# ---------------------------------------------------------------------------------------------- whole volumes


def slide(
    predict: Callable[[Tensor], Tensor], image: Tensor, size: Sequence[int], *, overlap: float = 0.5, windows: int = 4
) -> Tensor:
    """Scores ``[K, X, Y, Z]`` of a whole ``image[C, X, Y, Z]``, from windows blended by Gaussian weights.

    Beyond the image each window sees its lowest value, air, as crops in training do.
    """
    below_one(overlap=overlap)
    options = {"overlap": overlap, "mode": "gaussian", "cval": float(image.min())}
    found = sliding_window_inference(image[None], tuple(size), windows, predict, **options)  # type: ignore[arg-type]
    assert isinstance(found, Tensor)
    return found[0]


# ---------------------------------------------------------------------------------------------- scores


def voxel_scores(
    predicted: Tensor, true: Tensor, spacing: Sequence[float], classes: int, tolerance: float = 1.0
) -> dict[str, float]:
    """Dice, HD95 in mm and surface Dice at ``tolerance`` mm of labels ``[X, Y, Z]``, mean over labels 1 to K - 1.

    Empty where neither volume has any of them.
    """
    each = region_scores(predicted, true, spacing, {str(n): (n,) for n in range(1, classes)}, tolerance)
    return mean_scores(list(each.values()))


def region_scores(
    predicted: Tensor, true: Tensor, spacing: Sequence[float], regions: Mapping[str, Sequence[int]], tolerance: float
) -> dict[str, dict[str, float]]:
    """The scores of each of ``regions``, labels that count as one; without those that neither volume has."""
    found = {}
    for name, labels in regions.items():
        pair = [torch.isin(x, x.new_tensor(labels))[None, None].float() for x in (predicted, true)]
        some = [bool(x.any()) for x in pair]
        if not any(some):
            continue
        if all(some):
            values = _monai_scores(pair[0], pair[1], [float(s) for s in spacing], tolerance)
        else:
            values = (0.0, math.dist([0.0] * 3, [n * s for n, s in zip(true.shape, spacing, strict=True)]), 0.0)
        found[name] = dict(zip(SCORES, values, strict=True))
    return found


def merged_regions(said: Sequence[str], regions: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Labels of each union that ``said`` names, as ``whole=1+2+4`` or ``whole=edema+core``; ``regions`` from 0 on."""
    number = {name: n for n, name in reversed(list(enumerate(regions)))} | {str(n): n for n in range(len(regions))}
    found: dict[str, tuple[int, ...]] = {}
    for text in said:
        name, _, parts = text.partition("=")
        labels = [number.get(part.strip(), 0) for part in parts.split("+")]
        if not name.strip() or not all(labels) or name.strip() in (*regions[1:], *found):
            known = ", ".join(f"{n} {name}" for n, name in enumerate(regions) if n)
            raise UsageError(
                f"--merged {text}: it must be a new NAME=LABEL+LABEL, each the number or the name of one of: {known}"
            )
        found[name.strip()] = tuple(labels)
    return found


def _monai_scores(a: Tensor, b: Tensor, spacing: list[float], tolerance: float) -> tuple[float, float, float]:
    with warnings.catch_warnings():
        # MONAI 1.6 calls itself with an argument that it has deprecated
        warnings.filterwarnings("ignore", message=".*always_return_as_numpy.*")
        far = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=spacing)
        near = compute_surface_dice(a, b, [tolerance], include_background=True, spacing=spacing)
    return float(compute_dice(a, b)), float(far), float(near)


def mean_scores(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean over volumes of each score, of those that have it."""
    return {name: _mean([s[name] for s in scores if name in s]) for name in SCORES if any(name in s for s in scores)}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def with_labels(data: Any, ids: Tensor) -> Tensor:
    """Those of samples ``ids[N]`` that have voxel labels."""
    if not hasattr(data, "has_mask"):
        return ids
    return ids[torch.tensor([data.has_mask(n) for n in ids.tolist()], dtype=torch.bool)]


def cut_labels(mask: Tensor, box: Sequence[int], size: Sequence[int]) -> Tensor:
    """``int64[X, Y, Z]``: labels of a box (start, extent in voxels) at ``size``, nearest; 0 beyond the volume."""
    out = mask
    for axis in range(3):
        start, extent, count = box[axis], box[axis + 3], size[axis]
        place = start + ((torch.arange(count, device=mask.device) + 0.5) * extent / count - 0.5).round().long()
        inside = (place >= 0) & (place < mask.shape[axis])
        out = out.index_select(axis, place.clamp(0, mask.shape[axis] - 1))
        out = out * inside.view([-1 if n == axis else 1 for n in range(3)])
    return out
