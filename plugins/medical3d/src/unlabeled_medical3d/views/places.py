"""Views for telling where each voxel lies: a turned, stretched crop, changed in intensity, and the crop as it was.

Every draw is a sample's own. ``from_center[B, 4, 4]`` maps a view's voxels to mm from the middle of their volume, along
the volume's own axes.

    # B samples, C channels, X Y Z voxels of a view
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.errors import within
from unlabeled.transfer import on_host, send
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.ops.purposes import Use
from unlabeled_medical3d.views.augment import NAMES, Augment
from unlabeled_medical3d.views.crops import volume_sizes
from unlabeled_medical3d.views.standard import view_of

CHANCES = {"noise": 0.3, "brightness": 0.3, "contrast": 0.3, "lowres": 0.2, "gamma": 0.4, "bias": 0.3}


def rotation(degrees_B3: Tensor) -> Tensor:
    """``float64[B, 3, 3]``: turned about an axis of these components, by its length."""
    x, y, z = torch.deg2rad(degrees_B3.double()).unbind(1)
    still = torch.zeros_like(x)
    rows = ((still, -z, y), (z, still, -x), (-y, x, still))
    return torch.linalg.matrix_exp(torch.stack([torch.stack(row, 1) for row in rows], 1))


def sample(images: Tensor | list[Tensor], to_source: Tensor, size: Sequence[int]) -> Tensor:
    """``float32[B, C, X, Y, Z]``: each volume at ``to_source[B, 4, 4]`` of a voxel, trilinear; edges are repeated."""
    grid = torch.stack(torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in size), indexing="ij"), -1)
    places = []
    for image, matrix in zip(images, on_host(to_source).double(), strict=True):
        last = torch.tensor(image.shape[1:], dtype=torch.float64) - 1
        place = (grid @ matrix[:3, :3].T + matrix[:3, 3]) * 2 / last.clamp(min=1) - 1
        places.append(place.flip(-1)[None].to(torch.float32))  # grid_sample has z first
    return torch.stack(
        [
            F.grid_sample(image.float()[None], place, padding_mode="border", align_corners=True)[0]
            for image, place in zip(images, send(places, images[0].device), strict=True)
        ]
    )


class PlaceViews:
    """A crop turned, stretched and changed in intensity, to be read, and the same crop unchanged in intensity.

    Args:
        size: voxels of a view, one number or three; empty = the data's. Smaller than the volumes, so that their edges
            do not give the place away.
        tilt: greatest angle in degrees about each axis, in [0, 45].
        stretch: greatest change of scale along each axis, in [0, 0.5].
        reach: how far a crop's middle moves from the volume's, as a share of the room there is, in [0, 2]; above 1,
            crops reach beyond the volume, whose edges are repeated.
        strength: of all intensity changes, in [0, 2]; 1 = nnU-Net's ranges.
    """

    def __init__(
        self,
        spec: VolumeSpec,
        *,
        size: tuple[int, ...] = (),
        tilt: float = 17.0,
        stretch: float = 0.15,
        reach: float = 1.0,
        strength: float = 1.5,
    ) -> None:
        if len(size) not in (0, 1, 3) or any(n < 2 for n in size):
            raise ValueError(f"size is {size}; it must be one or three numbers of voxels from 2 on")
        within(0, 45, tilt=tilt)
        within(0, 0.5, stretch=stretch)
        within(0, 2, reach=reach)
        self.spec = spec
        self.size = tuple(size) * 3 if len(size) == 1 else tuple(size) or spec.size
        self.tilt, self.stretch, self.reach = tilt, stretch, reach
        self.augment = Augment(strength=strength, **CHANCES)
        self.roles = ("source", "target")
        self.params = ("from_center", *NAMES)

    def __call__(self, batch: VolumeBatch, draw: Draw) -> list[View]:
        draw = draw.to("cpu")
        middle = (volume_sizes(batch.images).double() - 1) / 2
        to_source = self.placed(middle, draw)
        images = sample(batch.images, to_source, self.size)
        made = VolumeBatch(batch.ids, images, on_host(batch.affine) @ to_source)
        from_center = to_source.clone()
        from_center[:, :3, 3] -= middle
        from_center[:, :3] *= torch.tensor(self.spec.spacing, dtype=torch.float64)[:, None]
        changed, changes = self.augment(images.clone(), draw)
        params = {"from_center": from_center, **changes}
        return [view_of(replace(made, images=changed), "source", params), view_of(made, "target", params)]

    def placed(self, middle_B3: Tensor, draw: Draw) -> Tensor:
        """``float64[B, 4, 4]``: voxels of a random crop to voxels of its volume, whose middle is ``middle[B, 3]``."""
        half = (torch.tensor(self.size, dtype=torch.float64) - 1) / 2
        turn = rotation(draw.uniform(3, Use.TILT, -self.tilt, self.tilt))
        turn = turn * (1 + draw.uniform(3, Use.STRETCH, -self.stretch, self.stretch).double())[:, None]
        room = (middle_B3 - (1 - self.stretch) * half).clamp(min=0) * self.reach
        center = middle_B3 + draw.uniform(3, Use.CENTER, -1, 1).double() * room
        out = torch.eye(4, dtype=torch.float64).repeat(len(turn), 1, 1)
        out[:, :3, :3] = turn
        out[:, :3, 3] = center - turn @ half
        return out
