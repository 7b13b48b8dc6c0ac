"""Encoders around timm models: `vit`, sized to the image, and `timm/<name>`, any model by name.

Vision Transformer, https://arxiv.org/abs/2010.11929. Rows are patches, or the cells of a CNN's last map; class and
register tokens go to ``prefix``. With nothing hidden the outputs are timm's own: ``tokens`` of ``forward_features``,
``pooled`` of ``forward_head(pre_logits=True)``. ``layers`` are outputs of blocks, before the final norm.

Hidden rows: a ViT puts its mask token in place of their patch embeddings, before positions are added, or drops them
after; every other model gets 0, the mean of normalized pixels, at their pixels.

    # B samples, N rows of an image, T = B * N packed rows, K kept rows of an image, R prefix tokens, D features
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import timm
import torch
import torch.nn.functional as F
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from unlabeled.contract import Capability, Features, Hide, Layout, Needs, Rows, View
from unlabeled.errors import near
from unlabeled.objectives.masked import sincos
from unlabeled_vision.data import ImageSpec

PATCHED = ("vision_transformer", "eva", "deit", "beit")  # modules of timm whose models take any patch size
LARGE = 128  # pixels; from this side on an image is cut into patches of about 16, smaller ones into about 8 a side
TINY = 32  # pixels; below, into about 4 a side


# ---------------------------------------------------------------------------------------------- geometry


def auto_patch(size: int) -> int:
    """Side of a patch in pixels: as near 16 as divides a large image; about 8, or of tiny images 4, make the side of a smaller one.

    A power of two where one does, since local crops have sides of multiples of 8.
    """
    if size >= LARGE:
        fits = [p for p in sorted(range(8, 33), key=lambda p: abs(p - 16)) if size % p == 0]
    else:
        even = [p for p in (1, 2, 4, 8) if size % p == 0 and 4 <= size // p <= 12]
        odd = [p for p in range(1, size + 1) if size % p == 0 and 4 <= size // p <= 12]
        fits = sorted(even or odd, key=lambda p: abs(size / p - (8 if size >= TINY else 4)))
    if not fits:
        raise ValueError(f"images of {size} px cannot be cut into equal patches of a useful size; make them 16 * n px")
    return fits[0]


@lru_cache(maxsize=64)
def grid_layout(count: int, grid: tuple[int, int], device: torch.device) -> Layout:
    """The layout of ``count`` images of ``grid`` rows: row-major, positions (row, column)."""
    height, width = grid
    ys, xs = torch.arange(height, device=device), torch.arange(width, device=device)
    position_N2 = torch.stack((ys.repeat_interleave(width), xs.repeat(height)), dim=1)
    return Layout((height * width,) * count, position_N2.repeat(count, 1), grid)


def pixel_flags(hidden: Rows, layout: Layout, size: tuple[int, int]) -> Tensor:
    """``bool[B, 1, H, W]``, True at the pixels of hidden rows."""
    assert layout.grid is not None
    cells = hidden.flags(layout.total).reshape(len(layout.lengths), 1, *layout.grid)
    return F.interpolate(cells.float(), size, mode="nearest-exact") > 0.5


# ---------------------------------------------------------------------------------------------- plain transformers


def edit(x_TD: Tensor, view: View, mask_token: Tensor | None) -> Tensor:
    """Patch embeddings after the view's swap, and with ``mask_token`` at its hidden rows where one is given."""
    if view.swap is not None:
        x_TD = x_TD[view.swap]
    if view.hidden is None or mask_token is None:
        return x_TD
    token_HD = mask_token.to(x_TD.dtype).expand(len(view.hidden), -1)
    return x_TD.index_copy(0, view.hidden.index, token_HD)


def gather(x_BND: Tensor, prefix: int, kept: Rows) -> Tensor:
    """The prefix and the kept rows: ``[B, R + N, D] -> [B, R + K, D]``."""
    rows_BKD = x_BND[:, prefix:].flatten(0, 1).index_select(0, kept.index).unflatten(0, (len(x_BND), -1))
    return torch.cat((x_BND[:, :prefix], rows_BKD), dim=1) if prefix else rows_BKD


def gather_rope(rope: Tensor, kept: Rows, count: int) -> Tensor:
    """Rotary embeddings of the kept rows: ``[N, F] -> [B, 1, K, F]``; mixed ones ``[depth, heads, N, F]`` likewise."""
    length = rope.shape[-2]
    within = (kept.index % length).reshape(count, -1)
    if rope.dim() == 2:
        return rope[within][:, None]
    return rope[:, :, within].transpose(1, 2)


def equal_counts(rows: Rows) -> None:
    """A ViT holds kept rows as one dense tensor."""
    if len(set(rows.lengths)) > 1:
        raise ValueError(
            f"a ViT drops the same number of rows of each image; this mask leaves {min(rows.lengths)} to "
            f"{max(rows.lengths)}. Choose a mask of an exact count"
        )


def plain_features(
    model: Any, images: Tensor, view: View, layout: Layout, hide: Hide, layers: Sequence[int], mask_token: Tensor
) -> Features:
    """timm's ``forward_features`` of a VisionTransformer or Eva, step by step, with hidden rows and swaps."""
    count, prefix = len(images), model.num_prefix_tokens
    x = model.patch_embed(images)
    if view.swap is not None or (view.hidden is not None and hide == "mask"):
        x = edit(x.reshape(layout.total, -1), view, mask_token if hide == "mask" else None).view(x.shape)
    placed = model._pos_embed(x)
    x, rope = placed if isinstance(placed, tuple) else (placed, None)
    kept, inner = None, layout
    if view.hidden is not None and hide == "drop":
        kept = view.hidden.complement(layout)
        equal_counts(kept)
        x, inner = gather(x, prefix, kept), layout.select(kept.index, kept.lengths)
        rope = None if rope is None else gather_rope(rope, kept, count)
    x = model.norm_pre(x)
    wanted = [range(len(model.blocks))[number] for number in layers]
    states: dict[int, Tensor] = {}
    for number, block in enumerate(model.blocks):
        x = block(x) if rope is None else block(x, rope=rope[number] if getattr(model, "rope_mixed", False) else rope)
        if number in wanted:
            states[number] = x
    x = model.norm(x)
    pooled = model.forward_head(x, pre_logits=True)

    def split(y: Tensor) -> dict[str, Any]:
        return {"tokens": y[:, prefix:].flatten(0, 1), "prefix": y[:, :prefix] if prefix else None}

    def state(y: Tensor) -> Features:
        return Features(**split(y), layout=inner, pooled=y[:, prefix:].mean(1), kept=kept)

    found = tuple(state(states[number]) for number in wanted)
    return Features(**split(x), layout=inner, pooled=pooled, kept=kept, layers=found)


# ---------------------------------------------------------------------------------------------- every other model


@dataclass(frozen=True)
class Shape:
    """What ``forward_features`` of a model gives, found by a pass on the meta device, which computes nothing.

    ``form`` is NCHW, NHWC or NLC; ``prefix`` counts tokens before the rows of NLC. ``head`` says that the model's own
    head gives the pooled vector, ``unused`` names parameters that no output depends on.
    """

    form: Literal["NCHW", "NHWC", "NLC"]
    grid: tuple[int, int]
    dim: int
    prefix: int
    head: bool
    unused: tuple[str, ...]

    def rows(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Rows ``[T, D]`` and prefix ``[B, R, D]`` of a model's output."""
        if self.form == "NCHW":
            return x.permute(0, 2, 3, 1).flatten(0, 2), None
        if self.form == "NHWC":
            return x.flatten(0, 2), None
        return x[:, self.prefix :].flatten(0, 1), x[:, : self.prefix] if self.prefix else None


def find_shape(model: Any, channels: int, size: tuple[int, int]) -> Shape:
    """The shape of ``model``'s output for images of ``size``; ``ValueError`` where it has no rows."""
    ghost: Any = copy.deepcopy(model).to("meta").eval()
    with torch.enable_grad():
        out = ghost.forward_features(torch.zeros(1, channels, *size, device="meta"))
        pooled = ghost.forward_head(out, pre_logits=True) if isinstance(out, Tensor) else None
    if not isinstance(out, Tensor) or out.dim() not in (3, 4) or pooled is None:
        raise ValueError("its features are no map and no sequence of tokens")
    dim, prefix = int(model.num_features), 0
    if out.dim() == 4:
        form: Any = getattr(model, "output_fmt", None) or ("NCHW" if out.shape[1] == dim else "NHWC")
        form = str(getattr(form, "value", form))
        grid = tuple(out.shape[2:] if form == "NCHW" else out.shape[1:3])
        dim = int(out.shape[1] if form == "NCHW" else out.shape[3])
    else:
        form, dim = "NLC", int(out.shape[2])
        prefix = int(getattr(model, "num_prefix_tokens", 0))
        grid = _square(out.shape[1] - prefix)
    head = tuple(pooled.shape) == (1, dim)
    reached = out.sum() + (pooled.sum() if head else 0.0)
    names, weights = zip(*ghost.named_parameters(), strict=True)
    gradients = torch.autograd.grad(reached, weights, allow_unused=True)
    unused = tuple(name for name, gradient in zip(names, gradients, strict=True) if gradient is None)
    return Shape(form, (int(grid[0]), int(grid[1])), dim, prefix, head, unused)


def _square(length: int) -> tuple[int, int]:
    side = round(length**0.5)
    if side * side != length:
        raise ValueError(f"its {length} tokens are no square grid")
    return side, side


def map_features(
    model: Any, shape: Shape, images: Tensor, view: View, layout: Layout, layers: Sequence[int]
) -> Features:
    """Rows of the last map of any timm model; the pixels of hidden rows are 0 in its input."""
    if view.hidden is not None:
        images = images.masked_fill(pixel_flags(view.hidden, layout, (images.shape[2], images.shape[3])), 0.0)
    found: tuple[Features, ...] = ()
    if layers:
        wanted = [range(len(model.feature_info))[number] for number in layers]
        x, maps = model.forward_intermediates(images, indices=sorted(set(wanted)), output_fmt="NCHW")
        by_number = dict(zip(sorted(set(wanted)), maps, strict=True))
        found = tuple(_map_state(by_number[number]) for number in wanted)
    else:
        x = model.forward_features(images)
    tokens, prefix = shape.rows(x)
    pooled = model.forward_head(x, pre_logits=True) if shape.head else layout.mean(tokens)
    return Features(tokens, layout, pooled, prefix=prefix, layers=found)


def _map_state(x: Tensor) -> Features:
    layout = grid_layout(len(x), (x.shape[2], x.shape[3]), x.device)
    return Features(x.permute(0, 2, 3, 1).flatten(0, 2), layout, x.mean((2, 3)))


# ---------------------------------------------------------------------------------------------- the encoders


@dataclass(frozen=True)
class Blueprint:
    """How plain timm makes the model again: ``timm.create_model(name, **kwargs)``, then ``edits``, lines of Python."""

    name: str
    kwargs: Mapping[str, Any]
    edits: tuple[str, ...] = field(default=())

    def code(self) -> str:
        """Lines that leave the model, with random weights, in ``model``."""
        kwargs = ", ".join([repr(self.name), *(f"{key}={value!r}" for key, value in self.kwargs.items())])
        return "\n".join((f"model = timm.create_model({kwargs})", *self.edits))


class TimmEncoder(nn.Module):
    """What all encoders here share. ``model`` is the bare timm model, made as ``blueprint`` says."""

    def __init__(self, model: Any, blueprint: Blueprint, spec: ImageSpec) -> None:
        super().__init__()
        self.model = model
        self.blueprint = blueprint
        self.spec = spec
        plain = (VisionTransformer.forward_features, Eva.forward_features)
        self.plain = type(model).forward_features in plain
        self.shape: Shape | None = None
        can: set[Capability] = {"tokens", "mask"}
        if self.plain:
            self.dim = int(model.embed_dim)
            self.mask_token = nn.Parameter(torch.empty(self.dim).normal_(std=0.02), requires_grad=False)
            can |= {"drop", "swap", "layers"}
        else:
            self.shape = find_shape(model, spec.channels, (spec.size, spec.size))
            self.dim = self.shape.dim
            for name in self.shape.unused:
                model.get_parameter(name).requires_grad_(False)
            if hasattr(model, "forward_intermediates") and hasattr(model, "feature_info"):
                can.add("layers")
        self.can: frozenset[Capability] = frozenset(can)
        self._shapes: dict[tuple[int, int], Shape] = {}
        # a permuted map costs convolutions a copy each: 1.2 to 1.5 x a step of ResNet-18 (plugins/vision/README.md)
        self.channels_last = self.shape is not None and self.shape.form == "NCHW"
        if self.channels_last:
            model.to(memory_format=torch.channels_last)

    def prepare(self, needs: Needs) -> None:
        """Called by core with the objective's needs: the mask token learns only where rows are masked."""
        if self.plain:
            self.mask_token.requires_grad_("mask" in needs.encoder)

    def layout(self, batch: Any) -> Layout:
        """Rows of each image, known from its size."""
        images: Tensor = batch.images
        size = (int(images.shape[2]), int(images.shape[3]))
        return grid_layout(len(images), self._grid(size), images.device)

    def _grid(self, size: tuple[int, int]) -> tuple[int, int]:
        if self.plain:
            height, width = self.model.patch_embed.dynamic_feat_size(size)
            return int(height), int(width)
        return self._shape(size).grid

    def _shape(self, size: tuple[int, int]) -> Shape:
        assert self.shape is not None
        if size == (self.spec.size, self.spec.size):
            return self.shape
        if size not in self._shapes:
            self._shapes[size] = find_shape(self.model, self.spec.channels, size)
        return self._shapes[size]

    def bare(self, view: View) -> tuple[Tensor, Tensor | None]:
        """Tokens and pooled vector of timm's model alone, called as its users do: the conformance kit compares."""
        batch: Any = view.batch
        x = self.model.forward_features(batch.images)
        if self.plain:
            return x[:, self.model.num_prefix_tokens :].flatten(0, 1), self.model.forward_head(x, pre_logits=True)
        shape = self._shape((batch.images.shape[2], batch.images.shape[3]))
        return shape.rows(x)[0], self.model.forward_head(x, pre_logits=True) if shape.head else None

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        batch: Any = view.batch
        images: Tensor = batch.images
        layout = self.layout(batch) if view.layout is None else view.layout
        if self.plain:
            return plain_features(self.model, images, view, layout, hide, layers, self.mask_token)
        if view.swap is not None or (view.hidden is not None and hide == "drop"):
            raise ValueError(f"{self.blueprint.name} can neither drop nor swap rows; a ViT can")
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return map_features(self.model, self._shape((images.shape[2], images.shape[3])), images, view, layout, layers)


class ViT(TimmEncoder):
    """Vision Transformer of timm, in sizes that fit the image where a setting is 0.

    Args:
        patch: side of a patch in pixels; 0 = near 16 from 128 px on, else about 8 patches a side, below 32 px 4.
        width: D, features of a token, a multiple of heads; 0 = 384 from 128 px on, 192 from 32 px on, else 64.
        depth: number of blocks; 0 = 12 from 128 px on, 6 from 32 px on, else 4.
        heads: attention heads; 0 = one for each 64 features, at least 4.
        registers: extra tokens that hold no patch (https://arxiv.org/abs/2309.16588).
        drop_path: greatest share of samples that skip a block in training, in [0, 1).
        pool: one vector an image: avg, the mean of the patches, or cls, a class token.
    """

    def __init__(
        self,
        spec: ImageSpec,
        *,
        patch: int = 0,
        width: int = 0,
        depth: int = 0,
        heads: int = 0,
        registers: int = 0,
        drop_path: float = 0.0,
        pool: Literal["avg", "cls"] = "avg",
    ) -> None:
        if min(patch, width, depth, heads, registers) < 0:
            raise ValueError("patch, width, depth, heads and registers are sizes; each must be at least 0")
        if not 0 <= drop_path < 1:
            raise ValueError(f"drop_path is {drop_path}; it must be in [0, 1)")
        patch = patch or auto_patch(spec.size)
        if spec.size % patch:
            raise ValueError(f"patch {patch} does not divide images of {spec.size} px; {auto_patch(spec.size)} does")
        small, tiny = spec.size < LARGE, spec.size < TINY
        width = width or (64 if tiny else 192 if small else 384)
        heads = heads or max(4, width // 64)
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        kwargs: dict[str, Any] = {
            "img_size": spec.size,
            "patch_size": patch,
            "in_chans": spec.channels,
            "embed_dim": width,
            "depth": depth or (4 if tiny else 6 if small else 12),
            "num_heads": heads,
            "class_token": pool == "cls",
            "global_pool": "token" if pool == "cls" else "avg",
            "reg_tokens": registers,
            "no_embed_class": True,
            "fc_norm": False,  # else a masked objective, which reads tokens, would leave the norm unused
            "drop_path_rate": drop_path,
            "dynamic_img_size": True,
            "dynamic_img_pad": True,  # local crops have sides that no patch need divide
            "num_classes": 0,
        }
        model: Any = timm.create_model("vit_small_patch16_224", **kwargs)
        with torch.no_grad():  # positions are learned from where MAE and MoCo v3 fix them
            position = grid_layout(1, model.patch_embed.grid_size, torch.device("cpu")).position
            model.pos_embed.copy_(sincos(position, width)[None])
        super().__init__(model, Blueprint("vit_small_patch16_224", kwargs), spec)


class Timm(TimmEncoder):
    """Any model of timm, by name.

    Args:
        pretrained: start from timm's weights, which are downloaded, instead of random ones.
        patch: side of a patch of a ViT in pixels; 0 = the model's own, or what cuts a small image into about 8 a side.
        drop_path: greatest share of samples that skip a block in training, in [0, 1), where the model has it.
    """

    def __init__(
        self, model: str, spec: ImageSpec, *, pretrained: bool = False, patch: int = 0, drop_path: float = 0.0
    ) -> None:
        if not timm.is_model(model):
            raise ValueError(f"timm has no model {model!r}.{near(model, timm.list_models())}")
        if not 0 <= drop_path < 1:
            raise ValueError(f"drop_path is {drop_path}; it must be in [0, 1)")
        wanted: dict[str, Any] = {"img_size": spec.size, "dynamic_img_size": True, "dynamic_img_pad": True}
        family = timm.models.model_entrypoint(model).__module__.rpartition(".")[2]
        if patch or (not pretrained and family in PATCHED and spec.size < LARGE):
            wanted["patch_size"] = patch or auto_patch(spec.size)
        if drop_path:
            wanted["drop_path_rate"] = drop_path
        if not pretrained:
            wanted["fc_norm"] = False  # as in ViT
        made, kwargs = create(model, wanted, {"in_chans": spec.channels, "num_classes": 0}, pretrained)
        for name, value in (("patch", patch), ("drop_path", drop_path)):
            key = {"patch": "patch_size", "drop_path": "drop_path_rate"}[name]
            if value and key not in kwargs:
                raise ValueError(f"{model} takes no {name}; leave it at 0")
        try:
            super().__init__(made, Blueprint(model, kwargs), spec)
        except (ValueError, RuntimeError, AssertionError, AttributeError, TypeError) as error:
            raise ValueError(f"{model} does not serve as an encoder of {spec.size} px images: {error}") from error


def create(name: str, wanted: Mapping[str, Any], fixed: Mapping[str, Any], pretrained: bool) -> tuple[Any, dict]:
    """``timm.create_model`` with as many of the ``wanted`` arguments as this model takes, and which those were."""
    kwargs = {**wanted, **fixed}
    while True:
        try:
            return timm.create_model(name, pretrained=pretrained, **kwargs), kwargs
        except TypeError as error:
            refused = next((key for key in wanted if key in kwargs and f"'{key}'" in str(error)), None)
            if refused is None:
                raise
            del kwargs[refused]
        except (AssertionError, RuntimeError) as error:
            raise ValueError(f"timm cannot make {name} with {kwargs}: {error}") from error
