"""The views of images that published systems train on, batched, in plain torch.

Each class is a component: its settings are the augmentation's strengths, and a call turns a batch into views whose
``params`` say what was done to each sample: ``crop[B, 4]`` (top, left, height, width in source pixels), ``flip[B]``,
``jitter[B, 4]`` (factors of brightness, contrast and saturation, turn of hue), ``order[B, 4]`` of these four,
``gray[B]``, ``blur[B]`` (sigma in pixels, 0 = none), ``solarize[B]``. All views end with the same normalization, that
of the data's spec. Hue, saturation and gray apply to images of 3 channels alone.

A setting that is None is sized to the spec (``fit``): the papers' values are for photos of 96 px and more, and a fifth
of a digit is no digit. Differs from the papers: the blur's kernel is a share of the view's side at every size, as
SimCLR has it at 224 px.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.errors import at_least
from unlabeled_vision.batch import ImageBatch, ImageSpec
from unlabeled_vision.views.augment import PARAMS, Augment, augmented
from unlabeled_vision.views.color import normalize_
from unlabeled_vision.views.crops import center_boxes, crop_resize, image_sizes, send_boxes

T = TypeVar("T")


def fit(setting: T | None, spec: ImageSpec, by_side: Mapping[int, T]) -> T:
    """``setting``, or where it is None the value of the greatest side in pixels that the spec reaches."""
    return setting if setting is not None else by_side[max(side for side in by_side if side <= spec.size)]


def mirrored(flip: float | None, spec: ImageSpec) -> float:
    """``flip``, or where it is None the papers' 0.5 if a mirror image of the data is still such data."""
    return flip if flip is not None else 0.5 if spec.mirror else 0.0


class Augmented:
    """One view by each augmentation, addressed by its number.

    Args:
        ratio: width / height of a crop, least and most.
        flip: probability of a horizontal mirror; None = 0.5, or 0 where the data says that left and right differ.
        jitter: probability of color jitter.
        brightness: strength of jitter: factors in 1 +- this.
        contrast: strength of jitter: factors in 1 +- this.
        saturation: strength of jitter: factors in 1 +- this; 3 channels only.
        hue: strength of jitter: turns in +- this share of the color circle, at most 0.5; 3 channels only.
        gray: probability of a gray image; 3 channels only.
        sigma: of the blur, least and most, in pixels.
        kernel: side of the blur's kernel, as a share of the view's side.
    """

    params = PARAMS

    def __init__(self, spec: ImageSpec, augments: Sequence[Augment], roles: tuple[str, ...]) -> None:
        self.spec, self.augments, self.roles = spec, augments, roles

    def __call__(self, batch: ImageBatch, draw: Draw) -> list[View]:
        return augmented(batch, draw, self.augments, self.roles, self.spec)


class SimCLR(Augmented):
    """Two views with strong color distortion, https://arxiv.org/abs/2002.05709.

    Args:
        scale: share of the image's area that a crop has, least and most, in (0, 1]; None = (0.08, 1) from 96 px on,
            (0.2, 1) from 32 px on, else (0.5, 1).
        brightness: strength of jitter: factors in 1 +- this (0.8 s in the paper, s = 1).
        contrast: strength of jitter: factors in 1 +- this (0.8 s).
        saturation: strength of jitter: factors in 1 +- this (0.8 s); 3 channels only.
        hue: strength of jitter: turns in +- this share of the color circle, at most 0.5 (0.2 s); 3 channels only.
        blur: probability of Gaussian blur; None = 0.5 from 64 px on, else 0 (the paper's B.9 has none at 32 px).
        solarize: probability that bright values are inverted.
    """

    def __init__(
        self,
        spec: ImageSpec,
        *,
        scale: tuple[float, float] | None = None,
        ratio: tuple[float, float] = (0.75, 1.3333333333333333),
        flip: float | None = None,
        jitter: float = 0.8,
        brightness: float = 0.8,
        contrast: float = 0.8,
        saturation: float = 0.8,
        hue: float = 0.2,
        gray: float = 0.2,
        blur: float | None = None,
        sigma: tuple[float, float] = (0.1, 2.0),
        kernel: float = 0.1,
        solarize: float = 0.0,
    ) -> None:
        augment = Augment(
            side=spec.size,
            scale=fit(scale, spec, {96: (0.08, 1.0), 32: (0.2, 1.0), 0: (0.5, 1.0)}),
            ratio=ratio,
            flip=mirrored(flip, spec),
            jitter=jitter,
            strengths=(brightness, contrast, saturation, hue),
            gray=gray,
            blur=fit(blur, spec, {64: 0.5, 0: 0.0}),
            sigma=sigma,
            kernel=kernel,
            solarize=solarize,
        )
        super().__init__(spec, (augment, augment), ("global", "global"))


class BYOL(Augmented):
    """Two views that differ in blur and solarization, https://arxiv.org/abs/2006.07733, table 6.

    Args:
        scale: share of the image's area that a crop has, least and most, in (0, 1]; None = (0.08, 1) from 96 px on,
            (0.2, 1) from 32 px on, else (0.5, 1).
        blur: probability of Gaussian blur in the first and in the second view; None = (1, 0.1) from 64 px on, else 0.
        solarize: probability that bright values are inverted, in the first and in the second view.
    """

    def __init__(
        self,
        spec: ImageSpec,
        *,
        scale: tuple[float, float] | None = None,
        ratio: tuple[float, float] = (0.75, 1.3333333333333333),
        flip: float | None = None,
        jitter: float = 0.8,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.2,
        hue: float = 0.1,
        gray: float = 0.2,
        blur: tuple[float, float] | None = None,
        sigma: tuple[float, float] = (0.1, 2.0),
        kernel: float = 0.1,
        solarize: tuple[float, float] = (0.0, 0.2),
    ) -> None:
        blurs = fit(blur, spec, {64: (1.0, 0.1), 0: (0.0, 0.0)})
        augments = [
            Augment(
                side=spec.size,
                scale=fit(scale, spec, {96: (0.08, 1.0), 32: (0.2, 1.0), 0: (0.5, 1.0)}),
                ratio=ratio,
                flip=mirrored(flip, spec),
                jitter=jitter,
                strengths=(brightness, contrast, saturation, hue),
                gray=gray,
                blur=blurs[number],
                sigma=sigma,
                kernel=kernel,
                solarize=solarize[number],
            )
            for number in range(2)
        ]
        super().__init__(spec, augments, ("global", "global"))


class MultiCrop(Augmented):
    """Two large crops and several small ones, https://arxiv.org/abs/2006.09882, in the colors of DINO (2104.14294).

    Args:
        locals: number of local views.
        local_size: side of a local view in pixels; 0 = 3/7 of the global one, in steps of 8 (96 for 224).
        scale: share of the image's area that a global crop has, least and most, in (0, 1]; None = (0.4, 1) from 32 px
            on, else (0.5, 1).
        local_scale: share of the image's area that a local crop has, least and most, in (0, 1]; None = (0.05, 0.4) from
            96 px on, (0.1, 0.4) from 32 px on, else (0.3, 0.6).
        blur: probability of Gaussian blur in the first global, the second global, and the local views; None =
            (1, 0.1, 0.5) from 64 px on, else 0.
        solarize: probability that bright values are inverted in the second global view.
    """

    def __init__(
        self,
        spec: ImageSpec,
        *,
        locals: int = 6,
        local_size: int = 0,
        scale: tuple[float, float] | None = None,
        local_scale: tuple[float, float] | None = None,
        ratio: tuple[float, float] = (0.75, 1.3333333333333333),
        flip: float | None = None,
        jitter: float = 0.8,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.2,
        hue: float = 0.1,
        gray: float = 0.2,
        blur: tuple[float, float, float] | None = None,
        sigma: tuple[float, float] = (0.1, 2.0),
        kernel: float = 0.1,
        solarize: float = 0.2,
    ) -> None:
        if locals < 0 or local_size < 0:
            raise ValueError(f"locals is {locals} and local_size {local_size}; neither can be negative")
        local_size = local_size or max(8, round(spec.size * 3 / 56) * 8)
        whole = fit(scale, spec, {32: (0.4, 1.0), 0: (0.5, 1.0)})
        part = fit(local_scale, spec, {96: (0.05, 0.4), 32: (0.1, 0.4), 0: (0.3, 0.6)})
        blurs = fit(blur, spec, {64: (1.0, 0.1, 0.5), 0: (0.0, 0.0, 0.0)})

        def augment(side: int, area: tuple[float, float], blurred: float, solarized: float) -> Augment:
            return Augment(
                side=side,
                scale=area,
                ratio=ratio,
                flip=mirrored(flip, spec),
                jitter=jitter,
                strengths=(brightness, contrast, saturation, hue),
                gray=gray,
                blur=blurred,
                sigma=sigma,
                kernel=kernel,
                solarize=solarized,
            )

        augments = (
            augment(spec.size, whole, blurs[0], 0.0),
            augment(spec.size, whole, blurs[1], solarize),
            *(augment(local_size, part, blurs[2], 0.0) for _ in range(locals)),
        )
        super().__init__(spec, augments, ("global", "global", *("local",) * locals))


class Weak(Augmented):
    """Two views by crop and mirror alone.

    Args:
        scale: share of the image's area that a crop has, least and most, in (0, 1]; None = (0.2, 1) from 32 px on,
            else (0.5, 1).
    """

    roles: tuple[str, ...] = ("global", "global")

    def __init__(
        self,
        spec: ImageSpec,
        *,
        scale: tuple[float, float] | None = None,
        ratio: tuple[float, float] = (0.75, 1.3333333333333333),
        flip: float | None = None,
    ) -> None:
        area = fit(scale, spec, {32: (0.2, 1.0), 0: (0.5, 1.0)})
        augment = Augment(side=spec.size, scale=area, ratio=ratio, flip=mirrored(flip, spec))
        super().__init__(spec, [augment] * len(self.roles), self.roles)


class Plain(Weak):
    """One view by crop and mirror alone, as masked reconstruction has it, https://arxiv.org/abs/2111.06377."""

    roles = ("global",)


class Clean:
    """The whole image, nothing drawn: the centered square, resized. Features are taken from it.

    Args:
        enlarge: the square's side is the image's shorter side / this, at least 1; 1.143 = ImageNet's 224 of 256 px.
    """

    def __init__(self, spec: ImageSpec, *, enlarge: float = 1.0) -> None:
        at_least(1, enlarge=enlarge)
        self.spec = spec
        self.enlarge = enlarge
        self.roles = ("clean",)
        self.params = ("crop",)

    def __call__(self, batch: ImageBatch, draw: Draw) -> list[View]:
        boxes = center_boxes(image_sizes(batch.images), self.enlarge)
        sent = send_boxes(boxes, None, batch.images[0].device)
        x = normalize_(crop_resize(batch.images, boxes, self.spec.size, sent=sent), self.spec.mean, self.spec.std)
        return [View(ImageBatch(batch.ids, x), "clean", params={"crop": sent[0]})]
