"""One augmented view of a batch: crop, flip, color jitter, gray, blur, solarize, normalize.

Every parameter is drawn on the host from the view's address (:class:`unlabeled.draw.Draw`), so a sample's view does
not depend on its batch, and an accelerator is waited for once at most, for the ids.

    # B samples, C channels, S side of the view in pixels
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import within
from unlabeled_vision.batch import ImageBatch, ImageSpec
from unlabeled_vision.views.color import NEUTRAL, blur_, grayscale_, jitter_, normalize_, solarize_
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

    def pixels(self, images: Tensor | list[Tensor], params: dict[str, Tensor]) -> Tensor:
        """``float32[B, C, S, S]`` in [0, 1] by these parameters."""
        x = crop_resize(images, params["crop"], self.side, params["flip"])
        jitter_(x, params["jitter"], params["order"])
        if x.shape[1] == 3:
            grayscale_(x, params["gray"].nonzero()[:, 0])
        blur_(x, params["blur"].nonzero()[:, 0], params["blur"], self.radius)
        return solarize_(x, params["solarize"].nonzero()[:, 0])

    def __call__(self, batch: ImageBatch, draw: Draw, spec: ImageSpec, role: str) -> View:
        params = self.draw(draw.to("cpu"), image_sizes(batch.images))
        x = normalize_(self.pixels(batch.images, params), spec.mean, spec.std)
        there = {name: value.to(x.device, non_blocking=True) for name, value in params.items()}
        return View(ImageBatch(batch.ids, x), role, params=there)
