"""ViT-3D of MONAI: cubes of a volume are its rows, and hidden ones need not be computed.

https://arxiv.org/abs/2010.11929. With nothing hidden the tokens are MONAI's own. Hidden rows: the mask token stands in
place of their cube's embedding, before positions are added, or they are dropped after. Differs from MONAI's defaults:
weights start Xavier-uniform and positions as sines and cosines (both learn on), attention is torch's fused kernel, and
other grids than that of the spec (local crops) get interpolated positions.

    # B samples, N rows of a volume, T = B * N packed rows, K kept rows of a volume, D features
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from monai.networks import nets
from torch import Tensor, nn

from unlabeled.contract import Capability, Features, Hide, Layout, View
from unlabeled.nn.init import start_transformer
from unlabeled.nn.rows import edit, keep_dense, learn_mask_token
from unlabeled_medical3d.batch import VolumeSpec
from unlabeled_medical3d.encoders.rows import Grid, grid_layout, triple


@dataclass(frozen=True)
class Blueprint:
    """How plain MONAI makes the networks that weights belong to.

    Args:
        name: class of the encoder in ``monai.networks.nets``, empty where MONAI has none.
        kwargs: its arguments.
        whole: class of the full segmentation network, empty where there is none.
        whole_kwargs: its arguments, with 2 output channels.
        prefix: of the encoder's keys in the full network.
        features: lines of Python that give the encoder's features of ``x``, with the network in ``model``.
    """

    name: str
    kwargs: Mapping[str, Any]
    whole: str = ""
    whole_kwargs: Mapping[str, Any] | None = None
    prefix: str = ""
    features: str = "tokens = model(x)[0]  # [B, N, D]"


NAMES = {"patch": "patch_size", "width": "hidden_size", "depth": "num_layers", "heads": "num_heads"}


def cube_side(side: int) -> int:
    """Side in voxels of a cube that cuts ``side`` voxels into equal parts: 16 from 96 voxels on, 8 from 24, else 4."""
    most = 16 if side >= 96 else 8 if side >= 24 else 4
    fits = [p for p in range(1, most + 1) if side % p == 0]
    return max(fits)


class ViT3D(nn.Module):
    """Vision Transformer of MONAI, in sizes that fit the volume where a setting is 0.

    Args:
        patch: sides of a cube in voxels, one number or three (x, y, z); empty = 16 from 96 voxels on, 8 from 24.
        width: D, features of a token, a multiple of heads; 0 = 384 from 96 voxels on, 192 from 40 on, else 96.
        depth: number of blocks; 0 = 12 from 96 voxels on, 6 from 40 on, else 4.
        heads: attention heads; 0 = one for each 32 features, at least 3.
        mlp: width of a block's MLP as a multiple of D.
        per_channel: rows for each channel by itself, with an embedding of the channel (ChannelViT,
            https://arxiv.org/abs/2309.16108), so that masks hide cubes of some channels alone.
        planar: an embedding of squares beside that of cubes, for volumes of one slice (the unified patch embedding of
            Uni4Eye, https://arxiv.org/abs/2203.04614).
    """

    def __init__(
        self,
        spec: VolumeSpec,
        *,
        patch: tuple[int, ...] = (),
        width: int = 0,
        depth: int = 0,
        heads: int = 0,
        mlp: float = 4.0,
        per_channel: bool = False,
        planar: bool = False,
    ) -> None:
        super().__init__()
        if len(patch) not in (0, 1, 3) or any(p < 1 for p in patch):
            raise ValueError(f"patch is {patch}; it must be one or three numbers of voxels from 1 on")
        if min(width, depth, heads) < 0 or mlp <= 0:
            raise ValueError(f"width {width}, depth {depth}, heads {heads}, mlp {mlp}: sizes, and mlp above 0")
        if planar and per_channel:
            raise ValueError("planar and per_channel: cubes have either an embedding of squares or one of channels")
        self.patch = triple(patch) if patch else triple([cube_side(n) for n in spec.size])
        if any(n % p for n, p in zip(spec.size, self.patch)):
            raise ValueError(f"patch {self.patch} does not divide volumes of {spec.size} voxels")
        large, tiny = max(spec.size) >= 96, max(spec.size) < 40
        width = width or (384 if large else 96 if tiny else 192)
        heads = heads or max(3, width // 32)
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        kwargs: dict[str, Any] = {
            "in_channels": 1 if per_channel else spec.channels,
            "img_size": spec.size,
            "patch_size": self.patch,
            "hidden_size": width,
            "mlp_dim": round(mlp * width),
            "num_layers": depth or (12 if large else 4 if tiny else 6),
            "num_heads": heads,
            "qkv_bias": True,
        }
        self.dim = width
        self.spec = spec
        self.blueprint = Blueprint("ViT", kwargs, **_unetr(spec, self.patch, kwargs))
        self.can: frozenset[Capability] = frozenset({"tokens", "mask", "drop", "swap", "layers"})
        self.plane: nn.Conv2d | None = None
        model: Any = nets.ViT(**kwargs)
        self.model = model
        self.grid = self._grid(spec.size)
        embedding = model.patch_embedding
        place = grid_layout(1, self.grid, torch.device("cpu")).position
        start_transformer(model, embedding.patch_embeddings, embedding.position_embeddings, place)
        for block in model.blocks:
            block.attn.use_flash_attention = True
            block.norm_cross_attn.requires_grad_(False)  # MONAI makes it, and never calls it
        self.mask_token = nn.Parameter(torch.empty(width).normal_(std=0.02), requires_grad=False)
        self.channels = spec.channels if per_channel else 0
        self.channel = nn.Parameter(torch.empty(self.channels, 1, width).normal_(std=0.02)) if per_channel else None
        if planar:
            self._add_plane(spec.channels)
        self.resolved = {name: kwargs[key] for name, key in NAMES.items()}

    prepare = learn_mask_token

    def _add_plane(self, channels: int) -> None:
        """Squares start as cubes do that repeat them, at the mean place of their column."""
        embedding = self.model.patch_embedding
        cube, positions = embedding.patch_embeddings, embedding.position_embeddings
        self.plane = nn.Conv2d(channels, self.dim, self.patch[:2], stride=self.patch[:2])
        with torch.no_grad():
            self.plane.weight.copy_(cube.weight.sum(-1))
            self.plane.get_parameter("bias").copy_(cube.bias)
            self.plane_positions = nn.Parameter(positions.reshape(1, -1, self.grid[2], self.dim).mean(2))

    def _grid(self, size: Sequence[int]) -> Grid:
        if self.plane is not None and size[2] == 1:
            size = (*size[:2], self.patch[2])
        if any(n % p for n, p in zip(size, self.patch)):
            hint = "; --encoder.planar true reads single slices" if size[2] == 1 else ""
            raise ValueError(f"volumes of {tuple(size)} voxels cannot be cut into cubes of {self.patch}{hint}")
        return triple([n // p for n, p in zip(size, self.patch)])

    def layout(self, batch: Any) -> Layout:
        """Rows of each volume, known from its size."""
        images: Tensor = batch.images
        grid = self._grid(images.shape[2:])
        return grid_layout(len(images), (self.channels, *grid) if self.channels else grid, images.device)

    def bare(self, view: View) -> tuple[Tensor | None, None]:
        """Tokens of MONAI's model alone, called as its users do; it knows no rows of single channels."""
        batch: Any = view.batch
        if self.channels:
            return None, None
        return self.model(batch.images)[0].flatten(0, 1), None

    def positions(self, grid: Grid, *, flat: bool = False) -> Tensor:
        """Position embeddings ``[1, N, D]`` of a grid, interpolated where it is not the spec's; ``flat`` of a slice."""
        learned: Tensor = self.plane_positions if flat else self.model.patch_embedding.position_embeddings
        own = (*self.grid[:2], 1) if flat else self.grid
        if grid == own:
            return learned
        cube = learned.transpose(1, 2).reshape(1, self.dim, *own)
        return F.interpolate(cube, grid, mode="trilinear").flatten(2).transpose(1, 2)

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        batch: Any = view.batch
        layout = self.layout(batch) if view.layout is None else view.layout
        assert layout.grid is not None
        flat = self.plane is not None and batch.images.shape[-1] == 1
        positions = self.positions(triple(layout.grid[-3:]), flat=flat)
        if self.channel is not None:
            positions = (self.channel + positions).flatten(0, 1)
        x = self._embed(batch.images)
        x = edit(x.flatten(0, 1), view, hide, self.mask_token).view(x.shape) + positions
        kept, inner = None, layout
        if view.hidden is not None and hide == "drop":
            kept = view.hidden.complement(layout)
            x, inner = keep_dense(x, kept), layout.select(kept.index, kept.lengths)
        wanted = [range(len(self.model.blocks))[number] for number in layers]
        states: dict[int, Features] = {}
        for number, block in enumerate(self.model.blocks):
            x = block(x)
            if number in wanted:
                states[number] = Features(x.flatten(0, 1), inner, x.mean(1), kept)
        x = self.model.norm(x)
        return Features(x.flatten(0, 1), inner, x.mean(1), kept, layers=tuple(states[n] for n in wanted))

    def _embed(self, images: Tensor) -> Tensor:
        """Embeddings of the cubes ``[B, N, D]``, channel after channel where each has rows of its own."""
        project = self.model.patch_embedding.patch_embeddings
        if self.plane is not None and images.shape[-1] == 1:
            return self.plane(images[..., 0]).flatten(2).transpose(1, 2)
        if not self.channels:
            return project(images).flatten(2).transpose(1, 2)
        return project(images.flatten(0, 1)[:, None]).flatten(2).transpose(1, 2).reshape(len(images), -1, self.dim)


def _unetr(spec: VolumeSpec, patch: Grid, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The full UNETR that such a ViT is a part of, where MONAI's has its patches of 16."""
    if patch != (16, 16, 16) or kwargs["num_layers"] != 12:
        return {}
    same = {key: kwargs[key] for key in ("in_channels", "img_size", "hidden_size", "mlp_dim", "num_heads", "qkv_bias")}
    return {"whole": "UNETR", "whole_kwargs": {**same, "out_channels": 2}, "prefix": "vit."}
