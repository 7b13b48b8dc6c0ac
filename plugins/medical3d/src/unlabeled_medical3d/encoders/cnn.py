"""CNN encoders of MONAI: U-Net and residual U-Net (nnU-Net's plan), SegResNet, ResNet-3D.

nnU-Net, https://arxiv.org/abs/1904.08128 (MONAI ``DynUNet``): an axis is halved while it keeps 4 cells, thick slices
later than the others; SegResNet, https://arxiv.org/abs/1810.11654; ResNet-3D, https://arxiv.org/abs/1711.09577. Each
keeps the library's state keys, so its weights go straight into the full segmentation network. Differs: the residual
U-Net has one residual block a stage, as DynUNet has, where nnU-Net's ResEnc presets stack up to six.

    # B samples, D features
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Literal

from monai.networks import nets
from torch import Tensor, nn

from unlabeled.contract import View
from unlabeled.errors import at_least
from unlabeled_medical3d.batch import VolumeSpec
from unlabeled_medical3d.encoders.maps import MapEncoder, stages_that_fit
from unlabeled_medical3d.encoders.rows import Grid, triple
from unlabeled_medical3d.encoders.vit import Blueprint

FEWEST = 4  # cells of an axis at the bottom, nnU-Net's
MOST_FILTERS = 320  # nnU-Net's for volumes
DYN_UNET = """x = model.input_block(x)
for block in (*model.downsamples, model.bottleneck):
    x = block(x)  # at last [B, D, x, y, z]"""


def auto_width(size: Sequence[int], least: int = 8) -> int:
    """Channels of the first stage: 32 from 96 voxels on, 16 from 40 on, else ``least``."""
    longest = max(size)
    return 32 if longest >= 96 else 16 if longest >= 40 else least


def plan(size: Sequence[int], spacing: Sequence[float], most: int = 5) -> tuple[list[Grid], list[Grid]]:
    """Kernels and strides of nnU-Net's stages: halve each axis that stays long enough and is not twice as coarse."""
    left, mm = list(size), list(spacing)
    kernels, strides = [triple([3 if m < 2 * min(mm) else 1 for m in mm])], [(1, 1, 1)]
    while len(strides) <= most:
        fits = [n % 2 == 0 and n // 2 >= FEWEST for n in left]
        finest = min((m for m, fit in zip(mm, fits) if fit), default=0.0)
        halve = [fit and m < 2 * finest for m, fit in zip(mm, fits)]
        if not any(halve):
            break
        left = [n // 2 if h else n for n, h in zip(left, halve)]
        mm = [m * 2 if h else m for m, h in zip(mm, halve)]
        strides.append(triple([2 if h else 1 for h in halve]))
        kernels.append(triple([3 if m < 2 * min(mm) else 1 for m in mm]))
    return kernels, strides


def together(strides: Sequence[Grid]) -> list[Grid]:
    """Strides from the input on: running products."""
    return list(accumulate(strides, lambda a, b: triple([x * y for x, y in zip(a, b, strict=True)])))


class _Down(nn.Module):
    """The encoder's half of a DynUNet, under the same state keys."""

    def __init__(self, whole: Any) -> None:
        super().__init__()
        self.input_block = whole.input_block
        self.downsamples = whole.downsamples
        self.bottleneck = whole.bottleneck


def _dyn_unet(spec: VolumeSpec, width: int, depth: int, residual: bool) -> tuple[Any, dict[str, Any], list[Grid]]:
    """The encoder's half, the full network's arguments, and the strides of its stages."""
    if width < 0 or depth < 0 or depth == 1:
        raise ValueError(f"width {width}, depth {depth}: width from 0 on, and depth 0 or from 2 on")
    kernels, strides = plan(spec.size, spec.spacing, depth or 5)
    if len(strides) < 3:
        raise ValueError(f"volumes of {spec.size} voxels can be halved {len(strides) - 1} times, and a U-Net needs 2")
    width = width or auto_width(spec.size)
    kwargs: dict[str, Any] = {
        "spatial_dims": 3,
        "in_channels": spec.channels,
        "out_channels": 2,
        "kernel_size": kernels,
        "strides": strides,
        "upsample_kernel_size": strides[1:],
        "filters": [min(width << n, MOST_FILTERS) for n in range(len(strides))],
        "res_block": residual,
    }
    return _Down(nets.DynUNet(**kwargs)), kwargs, together(strides)


class UNet(MapEncoder):
    """Encoder of nnU-Net's plain U-Net (MONAI DynUNet), planned for the volume's size and spacing.

    Args:
        width: channels of the first stage, doubled by each next; 0 = 32 from 96 voxels on, 16 from 40 on, else 8.
        depth: greatest number of halvings; 0 = until 4 cells are left, 5 at most.
    """

    residual = False

    def __init__(self, spec: VolumeSpec, *, width: int = 0, depth: int = 0) -> None:
        model, kwargs, strides = _dyn_unet(spec, width, depth, self.residual)
        made = Blueprint("", {}, "DynUNet", kwargs, features=DYN_UNET)
        super().__init__(model, spec, strides, kwargs["filters"][-1], made, sparse=True)
        self.resolved = {"width": kwargs["filters"][0], "depth": len(strides) - 1}

    def stages(self, images: Tensor) -> list[Tensor]:
        maps = [self.model.input_block(images)]
        for block in (*self.model.downsamples, self.model.bottleneck):
            maps.append(block(maps[-1]))
        return maps


class ResUNet(UNet):
    """Encoder of nnU-Net's residual U-Net (MONAI DynUNet), planned for the volume's size and spacing."""

    residual = True


class _SegDown(nn.Module):
    """The encoder's half of a SegResNet, under the same state keys."""

    def __init__(self, whole: Any) -> None:
        super().__init__()
        self.convInit = whole.convInit
        self.down_layers = whole.down_layers


class SegResNet(MapEncoder):
    """Encoder of SegResNet.

    Args:
        width: channels of the first stage, a multiple of 8, doubled by each next; 0 = 32 from 96 voxels on, 16 from
            40 on, else 8.
        blocks: residual blocks of each stage; empty = (1, 2, 2, 4), as many stages as leave 3 cells a side.
    """

    def __init__(self, spec: VolumeSpec, *, width: int = 0, blocks: tuple[int, ...] = ()) -> None:
        width = width or auto_width(spec.size)
        if width % 8:
            raise ValueError(f"width is {width}; it must be a multiple of 8, the groups of its normalization")
        if len(blocks) == 1 or any(n < 1 for n in blocks):
            raise ValueError(f"blocks is {blocks}; it must be two or more numbers from 1 on")
        blocks = blocks or (1, 2, 2, 4)[: stages_that_fit(spec.size, 3) + 1]
        kwargs: dict[str, Any] = {
            "spatial_dims": 3,
            "init_filters": width,
            "in_channels": spec.channels,
            "out_channels": 2,
            "blocks_down": blocks,
            "blocks_up": (1,) * (len(blocks) - 1),
        }
        strides = together([(1, 1, 1), *[(2, 2, 2)] * (len(blocks) - 1)])
        made = Blueprint("", {}, "SegResNet", kwargs, features="cells = model.encode(x)[0]  # [B, D, x, y, z]")
        model = _SegDown(nets.SegResNet(**kwargs))
        super().__init__(model, spec, strides, width << (len(blocks) - 1), made, sparse=True)
        self.resolved = {"width": width, "blocks": blocks}

    def stages(self, images: Tensor) -> list[Tensor]:
        x, maps = self.model.convInit(images), []
        for layer in self.model.down_layers:
            x = layer(x)
            maps.append(x)
        return maps


class ResNet3D(MapEncoder):
    """ResNet-3D of MONAI.

    Args:
        depth: number of layers.
        width: channels of the first stage, doubled by each next; 0 = 64 from 96 voxels on, 16 from 40 on, else 8.
        stem: auto = small below 64 voxels; small = stride 1 and no pooling, so that the last map is 1/8 of the volume;
            large = stride 2 and pooling, 1/32.
    """

    def __init__(
        self,
        spec: VolumeSpec,
        *,
        depth: Literal[10, 18, 34, 50] = 10,
        width: int = 0,
        stem: Literal["auto", "small", "large"] = "auto",
    ) -> None:
        at_least(0, width=width)
        width = width or (64 if max(spec.size) >= 96 else auto_width(spec.size))
        small = stem == "small" or (stem == "auto" and min(spec.size) < 64)
        layers = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2)}.get(depth, (3, 4, 6, 3))
        kwargs: dict[str, Any] = {
            "block": "bottleneck" if depth == 50 else "basic",
            "layers": list(layers),
            "block_inplanes": [width << n for n in range(4)],
            "spatial_dims": 3,
            "n_input_channels": spec.channels,
            "conv1_t_size": 3 if small else 7,
            "conv1_t_stride": 1 if small else 2,
            "no_max_pool": small,
            "feed_forward": False,
            "bias_downsample": False,
        }
        first: Grid = (1, 1, 1) if small else (4, 4, 4)
        strides = together([first, (2, 2, 2), (2, 2, 2), (2, 2, 2)])
        dim = (width << 3) * (4 if depth == 50 else 1)
        made = Blueprint("ResNet", kwargs, features="vector = model(x)  # [B, D]")
        super().__init__(nets.ResNet(**kwargs), spec, strides, dim, made, sparse=True)
        self.resolved = {"width": width, "stem": "small" if small else "large"}

    def bare(self, view: View) -> tuple[Tensor | None, Tensor]:
        """The pooled vector of MONAI's model alone; it gives no rows."""
        batch: Any = view.batch
        return None, self.model(batch.images)

    def stages(self, images: Tensor) -> list[Tensor]:
        model = self.model
        x = model.act(model.bn1(model.conv1(images)))
        x = x if model.no_max_pool else model.maxpool(x)
        maps = []
        for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
            x = layer(x)
            maps.append(x)
        return maps
