"""Crop, scale and jitter. Every random number comes from ``draw``, so a sample gets the same in any batch.

# B samples, L values of a sample
"""

import torch

from unlabeled.contract import View
from unlabeled.draw import Draw, Purpose
from unlabeled.transfer import numbers
from unlabeled_timeseries.batch import Spec, WaveBatch


class Crops:
    """Crops of one length, each scaled, with noise added.

    Args:
        count: number of views.
        length: of a crop in values, at most that of the shortest sample; 0 = just that.
        jitter: deviation of the noise, in deviations of the sample.
        scale: a crop is multiplied by a number between 1 - scale and 1 + scale.
    """

    params = ("start", "scale")

    def __init__(self, spec: Spec, *, count: int = 2, length: int = 0, jitter: float = 0.1, scale: float = 0.3) -> None:
        if length % spec.step or not 0 <= length <= spec.shortest:
            raise ValueError(f"length is {length}; it must be a multiple of {spec.step}, at most {spec.shortest}")
        if count < 1 or jitter < 0 or not 0 <= scale < 1:
            raise ValueError(f"found count {count}, jitter {jitter}, scale {scale}; need >= 1, >= 0 and [0, 1)")
        self.roles = ("global",) * count
        self.length, self.jitter, self.scale = length or spec.shortest, jitter, scale

    def __call__(self, batch: WaveBatch, draw: Draw) -> list[View]:
        return [self._view(batch, draw.at(number), role) for number, role in enumerate(self.roles)]

    def _view(self, batch: WaveBatch, draw: Draw, role: str) -> View:
        room_B = numbers(batch.lengths, batch.x.device) - self.length
        start_B1 = draw.integers(1, Purpose.CROP_PLACE, room_B[:, None] + 1)
        x_BL = batch.x.gather(1, start_B1 + torch.arange(self.length, device=batch.x.device))
        scale_B1 = draw.uniform(1, Purpose.GAIN, 1 - self.scale, 1 + self.scale)
        x_BL = x_BL * scale_B1 + self.jitter * draw.normal(self.length, Purpose.NOISE)
        cut = WaveBatch(batch.ids, x_BL, (self.length,) * len(batch))
        return View(cut, role, params={"start": start_B1, "scale": scale_B1})


class Clean:
    """The whole waveform as it is, each of its own length: what features are taken from."""

    roles = ("clean",)
    params = ()

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def __call__(self, batch: WaveBatch, draw: Draw) -> list[View]:
        return [View(batch, "clean")]
