"""Features of a view by a timm model: one path for plain Vision Transformers, one for every other model.

A ViT puts its mask token in place of the patch embeddings of hidden rows, before positions are added, or drops the
rows after; in any other model the pixels of hidden rows become 0, the mean of normalized pixels.

    # B samples, N rows of an image, T = B * N packed rows, K kept rows of an image, R prefix tokens, D features
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Features, Hide, Layout, Rows, View
from unlabeled.nn.rows import edit, keep_dense

LARGE = 128  # pixels; from this side on an image is cut into patches of about 16, smaller ones into about 8 a side
TINY = 32  # pixels; below, into about 4 a side


# ---------------------------------------------------------------------------------------------- geometry


def auto_patch(size: int) -> int:
    """Side of a patch in pixels: near 16 for large images, else such that about 8 make a side, and of tiny ones 4.

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


def gather_rope(rope: Tensor, kept: Rows, count: int) -> Tensor:
    """Rotary embeddings of the kept rows: ``[N, F] -> [B, 1, K, F]``; mixed ones ``[depth, heads, N, F]`` likewise."""
    length = rope.shape[-2]
    within = (kept.index % length).reshape(count, -1)
    if rope.dim() == 2:
        return rope[within][:, None]
    return rope[:, :, within].transpose(1, 2)


def plain_features(
    model: Any, images: Tensor, view: View, layout: Layout, hide: Hide, layers: Sequence[int], mask_token: Tensor
) -> Features:
    """timm's ``forward_features`` of a VisionTransformer or Eva, step by step, with hidden rows and swaps."""
    prefix = model.num_prefix_tokens
    x = model.patch_embed(images)
    if view.swap is not None or (view.hidden is not None and hide == "mask"):
        x = edit(x.reshape(layout.total, -1), view, hide, mask_token).view(x.shape)
    placed = model._pos_embed(x)
    x, rope = placed if isinstance(placed, tuple) else (placed, None)
    kept, inner = None, layout
    if view.hidden is not None and hide == "drop":
        kept = view.hidden.complement(layout)
        x, inner = keep_dense(x, kept, prefix), layout.select(kept.index, kept.lengths)
        rope = None if rope is None else gather_rope(rope, kept, len(images))
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
