"""Encoders around timm models: `vit`, sized to the image, and `timm/<name>`, any model by name.

Vision Transformer, https://arxiv.org/abs/2010.11929. Rows are patches, or the cells of a CNN's last map; class and
register tokens go to ``prefix``. With nothing hidden the outputs are timm's own: ``tokens`` of ``forward_features``,
``pooled`` of ``forward_head(pre_logits=True)``. ``layers`` are outputs of blocks, before the final norm.

Hidden rows: a ViT puts its mask token in place of their patch embeddings, before positions are added, or drops them
after; every other model gets 0, the mean of normalized pixels, at their pixels (``rows.py``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import timm
import torch
from timm.layers import DropPath
from timm.models.eva import Eva
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from unlabeled.contract import Capability, Features, Hide, Layout, View
from unlabeled.errors import below_one, near
from unlabeled.nn.init import start_transformer
from unlabeled.nn.recompute import ROWS, rowwise
from unlabeled.nn.rows import learn_mask_token
from unlabeled_vision.batch import ImageSpec
from unlabeled_vision.encoders.rows import (
    LARGE,
    TINY,
    Shape,
    auto_patch,
    find_shape,
    grid_layout,
    map_features,
    plain_features,
)

PATCHED = ("vision_transformer", "eva", "deit", "beit")  # modules of timm whose models take any patch size


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

    prepare = learn_mask_token

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
        return map_features(self.model, self._shape((images.shape[2], images.shape[3])), images, view, layout, layers)


class LeanBlock(Block):
    """timm's, of which backward holds the input alone; with stochastic depth, which draws, as it is."""

    def forward(self, x_BND: Tensor, *args: Any, **more: Any) -> Tensor:  # type: ignore[override]
        if args or more or isinstance(self.drop_path1, DropPath):
            return super().forward(x_BND, *args, **more)
        return rowwise(super().forward, x_BND, max(1, ROWS // x_BND.shape[1]))


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
        below_one(drop_path=drop_path)
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
        model: Any = timm.create_model("vit_small_patch16_224", **kwargs, block_fn=LeanBlock)
        # timm draws weights with deviation 0.02, meant for a width of 768: narrow blocks then add almost nothing for
        # hundreds of steps. Digits after 150 steps of SimCLR, 64 wide: kNN 63 % from this start, 33 % from timm's
        place = grid_layout(1, model.patch_embed.grid_size, torch.device("cpu")).position
        start_transformer(model, model.patch_embed.proj, model.pos_embed, place)
        super().__init__(model, Blueprint("vit_small_patch16_224", kwargs), spec)
        self.resolved = {"patch": patch, "width": width, "depth": kwargs["depth"], "heads": heads}


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
        below_one(drop_path=drop_path)
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
