"""One augmented view of a batch: crop, flip, color jitter, gray, blur, solarize, normalize.

Every parameter is drawn on the host from the view's address (:class:`unlabeled.draw.Draw`), so a sample's view does
not depend on its batch, and an accelerator is not waited for.

    # B samples, C channels, S side of the view in pixels
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import within
from unlabeled.transfer import send
from unlabeled_vision.batch import ImageBatch, ImageSpec
from unlabeled_vision.views.color import NEUTRAL, OnRows, apply_, blur, grayscale, jitter, normalize_, solarize
from unlabeled_vision.views.crops import crop_resize, image_sizes, random_boxes

PARAMS = ("crop", "flip", "jitter", "order", "gray", "blur", "solarize")


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Strengths and probabilities of one view; those of jitter are (brightness, contrast, saturation, hue)."""

    side: int
    scale: tuple[float, float]
    ratio: tuple[float, float]
    flip: float = 0.5
    jitter: float = 0.0
    strengths: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    gray: float = 0.0
    blur: float = 0.0
    sigma: tuple[float, float] = (0.1, 2.0)
    kernel: float = 0.1
    solarize: float = 0.0

    def __post_init__(self) -> None:
        within(0, 1, flip=self.flip, jitter=self.jitter, gray=self.gray, blur=self.blur, solarize=self.solarize)
        for name, low, high in (("scale", 0.0, 1.0), ("ratio", 0.0, 100.0), ("sigma", 0.0, 100.0)):
            least, most = getattr(self, name)
            if not low < least <= most <= high:
                raise ValueError(f"{name} is {least}, {most}; it must be two rising numbers in ({low:g}, {high:g}]")
        if min(self.strengths) < 0 or self.strengths[3] > 0.5:
            raise ValueError(f"jitter strengths are {self.strengths}; they must be at least 0, and hue at most 0.5")
        if not 0 < self.kernel <= 1:
            raise ValueError(f"kernel is {self.kernel}; it must be a share of the side in (0, 1]")

    @property
    def radius(self) -> int:
        """Of the blur, in pixels, as SimCLR has it: the kernel is odd and has at least 3 pixels."""
        return min(max(1, int(self.kernel * self.side) // 2), self.side - 1)

    def draw(self, draw: Draw, sizes: Tensor) -> dict[str, Tensor]:
        """The parameters of every sample, each ``[B, ...]``; ``draw`` and ``sizes[B, 2]`` are on the host."""
        found = {"crop": random_boxes(draw, sizes, self.scale, self.ratio)}
        found["flip"] = draw.bernoulli(1, Purpose.FLIP, self.flip)[:, 0]
        count = len(draw)
        if self.jitter:
            strengths = torch.tensor(self.strengths)
            neutral = torch.tensor(NEUTRAL)
            low = (neutral - strengths).clamp(min=0)
            low[3] = -strengths[3]
            factors = draw.uniform(4, Purpose.JITTER) * (neutral + strengths - low) + low
            apply = draw.bernoulli(1, Purpose.JITTER_APPLY, self.jitter)
            found["jitter"] = torch.where(apply, factors, neutral)
            found["order"] = draw.permutation(4, Purpose.JITTER_ORDER)
        else:
            found["jitter"] = torch.tensor(NEUTRAL).expand(count, 4)
            found["order"] = torch.arange(4).expand(count, 4)
        found["gray"] = self._chance(draw, Purpose.GRAY, self.gray)
        found["blur"] = torch.zeros(count)
        if self.blur:
            sigma = draw.uniform(1, Purpose.BLUR, *self.sigma)[:, 0]
            found["blur"] = sigma * self._chance(draw, Purpose.BLUR_APPLY, self.blur)
        found["solarize"] = self._chance(draw, Purpose.SOLARIZE, self.solarize)
        return found

    @staticmethod
    def _chance(draw: Draw, purpose: Purpose, p: float) -> Tensor:
        return draw.bernoulli(1, purpose, p)[:, 0] if p else torch.zeros(len(draw), dtype=torch.bool)

    def steps(self, params: dict[str, Tensor], channels: int) -> list[OnRows]:
        """What is done to the colors after the crop, in its order."""
        gray = params["gray"].nonzero()[:, 0]
        return [
            *jitter(params["jitter"], params["order"], channels),
            *(grayscale(gray) if channels == 3 else ()),
            *blur(params["blur"].nonzero()[:, 0], params["blur"], self.radius, channels * self.side**2),
            *solarize(params["solarize"].nonzero()[:, 0]),
        ]


def augmented(
    batch: ImageBatch, draw: Draw, augments: Sequence[Augment], roles: Sequence[str], spec: ImageSpec
) -> list[View]:
    """A view by each augmentation; all that was drawn for all of them goes to the images' device at once."""
    images, host, sizes = batch.images, draw.to("cpu"), image_sizes(batch.images)
    channels, device = images[0].shape[0], images[0].device
    params = [augment.draw(host.at(number), sizes) for number, augment in enumerate(augments)]
    steps = [augment.steps(drawn, channels) for augment, drawn in zip(augments, params, strict=True)]
    flat = [tensor for drawn in params for tensor in drawn.values()]
    flat += [tensor for each in steps for step in each for tensor in (step.rows, step.values)]
    there = iter(send(flat, device))
    placed = [dict(zip(drawn, islice(there, len(drawn)))) for drawn in params]
    views = []
    for augment, drawn, known, each, role in zip(augments, params, placed, steps, roles, strict=True):
        moved = [replace(step, sent=(next(there), next(there))) for step in each]
        box = drawn["crop"], augment.side, drawn["flip"], (known["crop"], known["flip"])
        x = apply_(crop_resize(images, *box), moved)
        views.append(View(ImageBatch(batch.ids, normalize_(x, spec.mean, spec.std)), role, params=known))
    return views
