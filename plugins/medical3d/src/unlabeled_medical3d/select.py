"""Near-duplicate slices left out of a data set before pre-training (Less is More, https://arxiv.org/abs/2410.14524).

Neighboring slices of a volume show almost the same. Slices are visited in order, and one is kept when it is less
similar than a threshold to every slice kept so far. Similarity is one of three:

    hash         1 - share of different bits of 64-bit perceptual hashes (signs of low DCT coefficients)
    information  mutual information of the intensities over the mean of their entropies, of slices in 16 gray levels
    embedding    cosine of a pre-trained encoder's vectors, a slice repeated into a volume

Differs: the paper compares groups of slices of fixed size; here every kept slice is compared with, in one volume
(``scope`` volume) or in the whole data set (``scope`` all).

    # N slices, H W pixels, D features
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.data.readable import note
from unlabeled.errors import UsageError

SIDE = 32  # pixels of a slice that hashes and information are taken from
HASH = 8  # low frequencies a side: 64 bits
LEVELS = 16
AXES = {"x": 1, "y": 2, "z": 3}


# ---------------------------------------------------------------------------------------------- similarities


def thumbnails(volume: Tensor, axis: int) -> Tensor:
    """Slices ``[N, SIDE, SIDE]`` of ``volume[C, X, Y, Z]`` across ``axis`` (1 to 3), channels averaged."""
    slices = volume.float().mean(0).movedim(axis - 1, 0)
    return F.interpolate(slices[:, None], (SIDE, SIDE), mode="bilinear", antialias=True)[:, 0]


def hashes(thumbs_NHW: Tensor) -> Tensor:
    """``bool[N, 64]``: which of the low DCT coefficients lie above their median, the constant one left out."""
    place = torch.arange(SIDE, dtype=thumbs_NHW.dtype)
    wave = torch.cos(torch.pi * (2 * place + 1) * torch.arange(HASH, dtype=place.dtype)[:, None] / (2 * SIDE))
    low = (wave @ thumbs_NHW @ wave.T).flatten(1)
    low[:, 0] = 0.0
    return low > low[:, 1:].median(1, keepdim=True).values


def hash_similarity(bits_D: Tensor, kept_KD: Tensor) -> Tensor:
    """Share of equal bits of one hash with K others: ``[K]``."""
    return (bits_D == kept_KD).float().mean(1)


def gray_levels(thumbs_NHW: Tensor) -> Tensor:
    """``int64[N, H * W]`` in LEVELS equal bins between the least and greatest value of all slices."""
    low, high = thumbs_NHW.amin(), thumbs_NHW.amax()
    scaled = (thumbs_NHW - low) / (high - low).clamp(min=1e-9) * LEVELS
    return scaled.long().clamp(0, LEVELS - 1).flatten(1)


def information_similarity(levels_D: Tensor, kept_KD: Tensor) -> Tensor:
    """2 I(a; b) / (H(a) + H(b)) of one slice's gray levels with K others: ``[K]``; two even slices are equal."""
    pairs_KD = levels_D * LEVELS + kept_KD
    each = torch.full(pairs_KD.shape, 1 / len(levels_D))
    joint = torch.zeros(len(kept_KD), LEVELS**2).scatter_add_(1, pairs_KD, each).unflatten(1, (LEVELS, LEVELS))
    one, other = joint.sum(2), joint.sum(1)
    entropies = -torch.special.xlogy(one, one).sum(1) - torch.special.xlogy(other, other).sum(1)
    both = -torch.special.xlogy(joint, joint).sum((1, 2))
    return torch.where(entropies > 1e-9, 2 * (entropies - both) / entropies.clamp(min=1e-9), 1.0)


def cosine_similarity(vector_D: Tensor, kept_KD: Tensor) -> Tensor:
    """Cosine of one vector with K others: ``[K]``."""
    return F.cosine_similarity(vector_D[None], kept_KD, dim=1)


SIMILARITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "hash": hash_similarity,
    "information": information_similarity,
    "embedding": cosine_similarity,
}


def keep_different(
    described_ND: Tensor,
    similarity: Callable[[Tensor, Tensor], Tensor],
    threshold: float,
    before: Tensor | None = None,
) -> list[int]:
    """Numbers of the slices that are less similar than ``threshold`` to all kept before them (and to ``before``)."""
    count = 0 if before is None else len(before)
    held = described_ND.new_empty(count + len(described_ND), *described_ND.shape[1:])
    if before is not None:
        held[:count] = before
    kept: list[int] = []
    for number, described in enumerate(described_ND):
        if not count or float(similarity(described, held[:count]).max()) < threshold:
            kept.append(number)
            held[count] = described
            count += 1
    return kept


# ---------------------------------------------------------------------------------------------- a data set


class NearDuplicates:
    """Slices of a data set without near-duplicates.

    Args:
        by: hash, information or embedding.
        threshold: similarity from which a slice counts as a duplicate, in (0, 1].
        axis: slices lie across this axis.
        scope: volume compares slices of one volume, all those of the whole data set.
    """

    def __init__(
        self,
        *,
        by: Literal["hash", "information", "embedding"] = "hash",
        threshold: float = 0.9,
        axis: Literal["x", "y", "z"] = "z",
        scope: Literal["volume", "all"] = "volume",
    ) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold is {threshold}; it must be in (0, 1]")
        self.by, self.threshold, self.axis, self.scope = by, threshold, axis, scope

    def __call__(self, data: Any, run: Any = None) -> Iterator[Selected]:
        """What is kept of each volume of ``data``, in order; ``run`` is the encoder of ``embedding``."""
        if self.by == "embedding" and run is None:
            raise UsageError("--by embedding needs --run, a pre-trained run whose encoder describes the slices")
        before: Tensor | None = None
        for number in range(len(data)):
            batch = data.__getitems__([number])
            note(data, batch)
            if not len(batch):
                continue
            described = self._describe(batch.images[0], run)
            kept = keep_different(described, SIMILARITIES[self.by], self.threshold, before)
            if self.scope == "all" and kept:
                before = described[kept] if before is None else torch.cat((before, described[kept]))
            yield Selected(int(batch.ids[0]), len(described), tuple(kept))

    def _describe(self, volume: Tensor, run: Any) -> Tensor:
        if self.by == "embedding":
            return slice_vectors(volume, AXES[self.axis], run)
        thumbs = thumbnails(volume, AXES[self.axis])
        return hashes(thumbs) if self.by == "hash" else gray_levels(thumbs)


@dataclass(frozen=True)
class Selected:
    """Slices that are kept of one volume."""

    sample: int
    total: int
    kept: tuple[int, ...]


def slice_vectors(volume: Tensor, axis: int, run: Any) -> Tensor:
    """``[N, D]``: the encoder's pooled vector of each slice, repeated into a volume of the encoder's size."""
    from unlabeled.contract import View
    from unlabeled.probes.embedding import evaluating
    from unlabeled_medical3d.ops.segmentation import batch_of

    size = run.spec.size
    slices = volume.movedim(axis, 1).transpose(0, 1)  # [N, C, A, B]
    plane = F.interpolate(slices, size[:2], mode="bilinear", antialias=True)
    found = []
    with evaluating(run.encoder):
        for part in plane.split(8):
            images = part[..., None].expand(*part.shape, size[2]).contiguous()
            found.append(run.encoder(View(batch_of(images), "clean")).pooled)
    return torch.cat(found)
