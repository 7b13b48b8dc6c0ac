"""SparK, https://arxiv.org/abs/2301.03580: masked modeling for CNNs, by a sparse encoder and a hierarchical decoder.

The encoder sees the visible cells alone, at every resolution; in each of its maps the empty cells are then filled with
a learned embedding of that resolution, and a light decoder goes from the deepest map up, adding one map at a time. Mean
squared error of each hidden cube's normalized voxels. Differs: the decoder stops at the finest of the ``levels``
deepest maps, and paints the voxels of its cells at once; GroupNorm in the decoder, since batches of volumes are small.

    # B volumes, C channels, T rows, H hidden rows, W numbers of a cube
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Capability, Features, Loss, Needs, View
from unlabeled.errors import above, at_least
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.reconstruction import mae_loss
from unlabeled.nn.rows import target_rows
from unlabeled.probes.embedding import evaluating
from unlabeled_medical3d.batch import VolumeBatch
from unlabeled_medical3d.ops.grids import cube_sides, cubes, dense_map, uncubes, voxels_of


def densify(map_BDxyz: Tensor, hidden_B1xyz: Tensor, filling_D: Tensor) -> Tensor:
    """The map with ``filling`` at its hidden cells; ``hidden`` is at the resolution of rows, True = hidden."""
    flags = F.interpolate(hidden_B1xyz.to(map_BDxyz.dtype), map_BDxyz.shape[2:], mode="nearest-exact") > 0.5
    return torch.where(flags, filling_D.to(map_BDxyz.dtype).view(1, -1, 1, 1, 1), map_BDxyz)


class SparK(nn.Module):
    """Sparse masked modeling.

    Args:
        levels: maps of the encoder that the decoder takes, the deepest ones; the paper takes four.
        width: channels of the decoder at the deepest map, halved by each level, at least 16.
        norm_pix: normalize each cube before it is painted, as the paper does.
    """

    def __init__(self, encoder: Any, *, levels: int = 3, width: int = 128, norm_pix: bool = True) -> None:
        super().__init__()
        above(0, levels=levels)
        at_least(16, width=width)
        maps = _shapes(encoder, levels)
        can: frozenset[Capability] = frozenset({"tokens", "drop", "layers"})
        self.needs = Needs(views={"global": 1}, hidden=True, content=2, encoder=can)
        self.layers = tuple(range(-len(maps), 0))
        self.norm_pix = norm_pix
        widths = [max(16, width >> n) for n in range(len(maps))]  # from the deepest map up
        found = list(reversed(maps))
        self.fillings = nn.ParameterList(nn.Parameter(torch.randn(dim) * 0.02) for dim, _ in found)
        self.enter = nn.ModuleList(nn.Conv3d(dim, w, 1) for (dim, _), w in zip(found, widths, strict=True))
        self.up = nn.ModuleList(_block(a, b) for a, b in pairwise(widths))
        size = encoder.spec.size
        sides = cube_sides(size, found[-1][1])
        self.paint = nn.Conv3d(widths[-1], encoder.spec.channels * sides[0] * sides[1] * sides[2], 1)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        return Loss(union_mean(torch.cat([self._rows(encoder, view) for view in views])))

    def _rows(self, encoder: Any, view: View) -> Tensor:
        layout, images = view.layout, voxels_of(view)
        assert layout is not None
        assert layout.grid is not None
        assert view.content is not None
        assert view.hidden is not None
        features = encoder(view, hide="drop", layers=self.layers)
        hidden = view.hidden.flags(layout.total).reshape(-1, 1, *layout.grid)
        painted = self._decode([_as_map(found) for found in reversed(features.layers)], hidden)
        cells = painted.permute(0, 2, 3, 4, 1).flatten(0, 3)
        voxels = uncubes(cells, tuple(painted.shape[2:]), tuple(images.shape[2:]))
        index = target_rows(view)
        return mae_loss(cubes(voxels, layout.grid)[index], view.content[index], norm_pix=self.norm_pix)

    def _decode(self, maps: Sequence[Tensor], hidden: Tensor) -> Tensor:
        """Maps from the deepest up, with their empty cells filled, to the voxels of the finest map's cells."""
        x = self.enter[0](densify(maps[0], hidden, self.fillings[0]))
        for number, up in enumerate(self.up, start=1):
            filled = densify(maps[number], hidden, self.fillings[number])
            wide = F.interpolate(x, filled.shape[2:], mode="trilinear")
            x = up(wide) + self.enter[number](filled)
        out: Tensor = self.paint(F.gelu(x))
        return out


def _block(wide_in: int, wide_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(wide_in, wide_out, 3, padding=1), nn.GroupNorm(8, wide_out), nn.GELU())


def _as_map(features: Features) -> Tensor:
    grid = features.layout.grid
    assert grid is not None
    return dense_map(features.tokens, grid)


def _shapes(encoder: Any, levels: int) -> list[tuple[int, tuple[int, ...]]]:
    """Width and grid of each of the ``levels`` deepest maps, from a pass of one empty volume."""
    spec = getattr(encoder, "spec", None)
    if "layers" not in encoder.can or "drop" not in encoder.can or spec is None:
        raise ValueError("spark needs an encoder with layers that can drop rows sparse-style: a CNN such as res_unet")
    levels = min(levels, len(getattr(encoder, "strides", range(levels))))
    batch = VolumeBatch(
        torch.zeros(1, dtype=torch.int64), torch.zeros(1, spec.channels, *spec.size), torch.eye(4)[None]
    )
    with evaluating(encoder):
        found = encoder(View(batch, "clean"), layers=tuple(range(-levels, 0))).layers
    return [(each.tokens.shape[1], each.layout.grid) for each in found]
