"""The common base of encoders whose rows are the cells of a feature map: MONAI's CNNs and window Transformers.

``stages(images)`` gives one map a stage; the last is what rows are taken from. Hidden rows, with ``mask``: their voxels
are 0 in the input. With ``drop``: a CNN works sparse-style (``sparse.py``), and gives the visible cells alone; asked
for layers, it gives whole maps that are 0 at hidden cells, as SparK's decoder takes them.

    # B samples, D features, T packed rows
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from unlabeled.contract import Capability, Features, Hide, Layout, Rows, View
from unlabeled_medical3d.batch import VolumeSpec
from unlabeled_medical3d.encoders.rows import Grid, flags_map, grid_layout, map_features, map_rows, triple, voxel_flags
from unlabeled_medical3d.encoders.vit import Blueprint
from unlabeled_medical3d.ops.sparse import Visible, install

LEAST = 3  # rows of a side that a map should have, so that hiding some leaves something to see


class MapEncoder(nn.Module):
    """A library's network as an encoder.

    Args:
        model: gives the maps; its state keys are the library's.
        spec: of the volumes.
        strides: voxels of a cell of each stage's map, along x, y and z.
        dim: D of the last stage.
        blueprint: how plain MONAI makes the network.
        sparse: whether hidden rows may be dropped sparse-style.
    """

    def __init__(
        self, model: Any, spec: VolumeSpec, strides: Sequence[Grid], dim: int, blueprint: Blueprint, *, sparse: bool
    ) -> None:
        super().__init__()
        self.model = model
        self.spec = spec
        self.strides = tuple(strides)
        self.dim = dim
        self.blueprint = blueprint
        self.visible: Visible | None = install(model) if sparse else None
        can: set[Capability] = {"tokens", "mask", "layers"}
        self.can: frozenset[Capability] = frozenset(can | {"drop"} if sparse else can)
        self.grid_of(spec.size)

    def stages(self, images: Tensor) -> list[Tensor]:
        """A map ``[B, D_s, x, y, z]`` of each stage."""
        raise TypeError(f"{type(self).__name__} gives no stages")

    def grid_of(self, size: Sequence[int]) -> Grid:
        """Rows of a volume; ``ValueError`` where the network would not divide it evenly."""
        stride = self.strides[-1]
        if any(n % s for n, s in zip(size, stride)):
            near = tuple(max(1, round(n / s)) * s for n, s in zip(size, stride))
            raise ValueError(f"volumes of {tuple(size)} voxels do not fit its stride {stride}; {near} would")
        return triple([n // s for n, s in zip(size, stride)])

    def layout(self, batch: Any) -> Layout:
        """Rows of each volume, known from its size."""
        images: Tensor = batch.images
        return grid_layout(len(images), self.grid_of(images.shape[2:]), images.device)

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        batch: Any = view.batch
        images: Tensor = batch.images
        layout = self.layout(batch) if view.layout is None else view.layout
        if view.swap is not None or (view.hidden is not None and hide == "drop" and self.visible is None):
            raise ValueError(f"{type(self).__name__} cannot drop or swap rows that its windows mix; a ViT can")
        wanted = [range(len(self.strides))[number] for number in layers]
        maps = self._maps(images, view, layout, hide)
        found = tuple(map_features(maps[number]) for number in wanted)
        x = maps[-1]
        if view.hidden is None or hide == "mask":
            return Features(map_rows(x), layout, x.mean((2, 3, 4)), layers=found)
        kept = view.hidden.complement(layout)
        inner = layout.select(kept.index, kept.lengths)
        tokens = map_rows(x).index_select(0, kept.index)
        return Features(tokens, inner, inner.mean(tokens), kept, layers=found)

    def _maps(self, images: Tensor, view: View, layout: Layout, hide: Hide) -> list[Tensor]:
        if view.hidden is None:
            return self.stages(images)
        if hide == "mask":
            return self.masked(images, view.hidden, layout)
        assert self.visible is not None
        with self.visible.of(1 - flags_map(view.hidden, layout)):
            return self.stages(images.masked_fill(voxel_flags(view.hidden, layout, images.shape[2:]), 0.0))

    def masked(self, images: Tensor, hidden: Rows, layout: Layout) -> list[Tensor]:
        """The maps with ``hidden`` rows replaced: their voxels are 0."""
        return self.stages(images.masked_fill(voxel_flags(hidden, layout, images.shape[2:]), 0.0))


def stages_that_fit(size: Sequence[int], most: int, stride: int = 1) -> int:
    """How many halvings from ``stride`` on leave at least :data:`LEAST` rows a side, ``most`` at most, at least one."""
    count = 0
    while count < most and all(n % (stride << (count + 1)) == 0 and n >> (count + 1) >= LEAST * stride for n in size):
        count += 1
    return max(1, count)
