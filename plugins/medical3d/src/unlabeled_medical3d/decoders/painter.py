"""Voxels painted from an encoder's features, by the upward half of a U-Net or by a decoder over rows; and their loss.

Models Genesis and Volume Fusion pre-train a whole U-Net; where the encoder gives a map a stage, so do we, and
``medical3d segment`` takes both halves over. An encoder of one resolution, a ViT, gets a decoder over its rows, each of
which paints its cube.

    # B volumes, K numbers of a voxel, C channels, X Y Z voxels, T rows
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Capability, Loss, MakeDecoder, View, role
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled_medical3d.decoders.upward import Upward, climbs, maps_of
from unlabeled_medical3d.ops.grids import uncubes, voxels_of

Paint = Literal["auto", "unet", "rows"]


def pairs_of(views: Sequence[View]) -> list[tuple[View, View]]:
    """Each source view with the target view of the same number."""
    return list(zip(role(views, "source"), role(views, "target"), strict=True))


def class_losses(logits_BVK: Tensor, class_BV: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy and 1 - soft Dice over V voxels of each sample, each ``[B]``; Dice: mean of present classes."""
    logits = full(logits_BVK)
    crossed = F.cross_entropy(logits.transpose(1, 2), class_BV, reduction="none").mean(1)
    true_BVK = F.one_hot(class_BV, logits.shape[-1]).to(logits.dtype)
    shares = logits.softmax(-1)
    both, either = (shares * true_BVK).sum(1), (shares + true_BVK).sum(1)
    present = (true_BVK.sum(1) > 0).to(logits.dtype)
    dice = (2 * both / either.clamp(min=1e-6) * present).sum(1) / present.sum(1)
    return crossed, 1 - dice


def painted_classes(found: Sequence[tuple[Tensor, Tensor]], dice: float) -> Loss:
    """Cross-entropy plus ``dice`` times 1 - soft Dice of classes ``[B, V]`` in painted ``[B, K, X, Y, Z]``."""
    losses = [class_losses(painted.flatten(2).transpose(1, 2), class_BV) for painted, class_BV in found]
    entropy, overlap = (union_mean(torch.cat(by_sample)) for by_sample in zip(*losses, strict=True))
    return Loss(entropy + dice * overlap, {"cross_entropy": entropy.detach(), "dice_loss": overlap.detach()})


class Painter(nn.Module):
    """``[B, K, X, Y, Z]`` from a view.

    Where it paints by rows it needs a decoder and the width of a cube: ``asks``, for the objective's needs.

    Args:
        encoder: what is painted from.
        decoder: makes the decoder over rows, where that is the way.
        content: C * voxels of a row's cube.
        channels: K.
        paint: ``unet``, ``rows``, or ``auto``: ``unet`` where the encoder gives a map a stage.
    """

    def __init__(self, encoder: Any, decoder: MakeDecoder, content: int, channels: int, paint: Paint) -> None:
        super().__init__()
        whole = paint == "unet" or (paint == "auto" and climbs(encoder))
        self.up = Upward(encoder, channels) if whole else None
        self.rows = None if whole else decoder(dim=encoder.dim, width=content // encoder.spec.channels * channels)
        can: set[Capability] = {"tokens", "layers"} if whole else {"tokens"}
        self.asks: dict[str, Any] = {"encoder": frozenset(can), "decoder": not whole, "content": int(not whole)}

    def forward(self, encoder: Any, view: View) -> Tensor:
        images = voxels_of(view)
        if self.up is not None:
            return self.up(maps_of(encoder, view.clean()), images)
        assert self.rows is not None
        features = encoder(view.clean())
        assert features.layout.grid is not None, "painting needs an encoder whose rows form a grid"
        painted = self.rows(features.tokens, features.layout)
        return uncubes(painted, features.layout.grid, tuple(images.shape[2:]))
