"""Views of spectrograms: mixtures, resized crops and hidden stripes in log-mel, for encoders that read spectrograms.

Mixtures and random resized crops: BYOL-A https://arxiv.org/abs/2103.06695 and ATST https://arxiv.org/abs/2204.12076;
stripes: SpecAugment https://arxiv.org/abs/1904.08779; several masks of one clip: EAT https://arxiv.org/abs/2401.03497.
The views' batches carry ``mel``; an encoder that reads the waveform refuses them.

Differs: a crop that reaches past the spectrogram finds the mean there, not silence; a mixture takes its partner from
the data set, by the clip's id and the epoch, not from the last batches, so that it is the same in any batch.

    # B clips, F frames of all clips, M mel bands
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.errors import above, within
from unlabeled.transfer import numbers
from unlabeled_audio.batch import AudioBatch, AudioSpec, spread, standardize, starts
from unlabeled_audio.ops.frontends import FBANK_MEAN, MEAN, STD, Spectrogram
from unlabeled_audio.ops.purposes import Use
from unlabeled_audio.views.augment import PARAMS, Augment
from unlabeled_audio.views.blocks import in_blocks
from unlabeled_audio.views.standard import least

MEL_PARAMS = (*PARAMS, "mix", "resize")


# ---------------------------------------------------------------------------------------------- pure functions


def log_mix(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Log of the mixture of two powers: ``log((1 - share) * exp(a) + share * exp(b))``."""
    tiny = torch.finfo(torch.float32).tiny
    return torch.logaddexp(a + torch.log1p(-share), b + torch.log(share.clamp(min=tiny)))


def resize(mel_FM: Tensor, frames: tuple[int, ...], box_B4: Tensor) -> Tensor:
    """Each clip's spectrogram read through a box (first frame, frames, first band, bands), at its own size.

    Bilinear; outside is 0, the mean.
    """
    count = numbers(frames, mel_FM.device)
    begin = numbers(starts(frames), mel_FM.device)
    time = torch.arange(len(mel_FM), device=mel_FM.device) - spread(begin, frames)
    first, size = spread(box_B4[:, 0], frames), spread(box_B4[:, 1] / count, frames)
    time = first + (time + 0.5) * size - 0.5
    mel_FM = _read(mel_FM, spread(begin, frames), spread(count, frames), time)
    bands = torch.arange(mel_FM.shape[1], device=mel_FM.device)
    place = box_B4[:, 2:3] + (bands + 0.5) * (box_B4[:, 3:] / mel_FM.shape[1]) - 0.5
    return _read_bands(mel_FM, spread(place, frames))


def _read(mel_FM: Tensor, begin_F: Tensor, count_F: Tensor, time_F: Tensor) -> Tensor:
    """Rows at fractional frames of each clip."""
    left = time_F.floor()
    share = (time_F - left)[:, None]

    def row(place: Tensor) -> Tensor:
        inside = (place >= 0) & (place < count_F)
        index = begin_F + place.clamp(min=0).minimum(count_F - 1).long()
        return mel_FM[index] * inside[:, None]

    return row(left) * (1 - share) + row(left + 1) * share


def _read_bands(mel_FM: Tensor, place_FM: Tensor) -> Tensor:
    """Columns at fractional bands."""
    left = place_FM.floor()
    share, top = place_FM - left, mel_FM.shape[1] - 1

    def column(place: Tensor) -> Tensor:
        inside = (place >= 0) & (place <= top)
        return mel_FM.gather(1, place.clamp(0, top).long()) * inside

    return column(left) * (1 - share) + column(left + 1) * share


def stripes(mel_FM: Tensor, frames: tuple[int, ...], draw: Draw, count: int, most: float, *, time: bool) -> Tensor:
    """``count`` stripes of frames, or of bands, at 0, each up to ``most`` of the whole."""
    if not count or not most:
        return mel_FM
    purpose = Use.STRIPE_TIME if time else Use.STRIPE_BAND
    size = numbers(frames, mel_FM.device)[:, None] if time else mel_FM.shape[1]
    width, place = draw.uniform(2 * count, purpose).chunk(2, dim=1)
    width = (width * most * size).floor()
    first = (place * (size - width)).floor()
    begin = numbers(starts(frames), mel_FM.device)
    here = torch.arange(len(mel_FM), device=mel_FM.device) - spread(begin, frames)
    at = here[:, None, None] if time else torch.arange(mel_FM.shape[1], device=mel_FM.device)[None, :, None]
    first, width = spread(first, frames)[:, None], spread(width, frames)[:, None]
    return mel_FM.masked_fill(((at >= first) & (at < first + width)).any(2), 0.0)


# ---------------------------------------------------------------------------------------------- one view


@dataclass(frozen=True)
class MelAugment:
    """How the spectrogram of a view is altered; strengths at 0, and spans at 1, do nothing."""

    spec: AudioSpec
    mix: float = 0.0
    time: tuple[float, float] = (1.0, 1.0)
    bands: tuple[float, float] = (1.0, 1.0)
    count: int = 0
    most_time: float = 0.0
    most_bands: float = 0.0

    def __post_init__(self) -> None:
        within(0, 0.9, mix=self.mix, most_time=self.most_time, most_bands=self.most_bands)
        within(0, 100, stripes=self.count)
        for name, span in (("time", self.time), ("bands", self.bands)):
            if not 0 < span[0] <= span[1]:
                raise ValueError(f"{name} is {span}; it must be two factors above 0, the smaller first")

    def __call__(
        self, batch: AudioBatch, partner: AudioBatch | None, draw: Draw, front: Spectrogram, place: Draw | None = None
    ) -> tuple[AudioBatch, dict[str, Tensor]]:
        """The batch with its altered spectrogram; ``place`` draws what must be the same in aligned views."""
        front = front.to(batch.wave.device)
        frames = tuple(self.spec.frames(n) for n in batch.lengths)
        mel = front(batch.wave, batch.lengths)
        share = draw.uniform(1, Use.LOG_MIX, 0.0, max(self.mix, 1e-9))[:, 0] * (self.mix > 0)
        if partner is not None and self.mix:
            mel = self._mixed(mel, frames, partner, share, front)
        box = self._box(frames, draw, draw if place is None else place)
        mel = resize(mel, frames, box) if self.time != (1.0, 1.0) or self.bands != (1.0, 1.0) else mel
        mel = stripes(mel, frames, draw, self.count, self.most_time, time=True)
        mel = stripes(mel, frames, draw, self.count, self.most_bands, time=False)
        return replace(batch, mel=mel, frames=frames), {"mix": share, "resize": box}

    def _mixed(
        self, mel: Tensor, frames: tuple[int, ...], partner: AudioBatch, share_B: Tensor, front: Spectrogram
    ) -> Tensor:
        """The clip under its partner, which is repeated where it is shorter."""
        other = front(partner.wave, partner.lengths)
        theirs = tuple(self.spec.frames(n) for n in partner.lengths)
        begin, size = (numbers(x, mel.device) for x in (starts(theirs), theirs))
        here = torch.arange(len(mel), device=mel.device)
        here = here - spread(numbers(starts(frames), mel.device), frames)
        index = spread(begin, frames) + here % spread(size, frames)
        mean = FBANK_MEAN if self.spec.front == "fbank" else MEAN
        found = log_mix(mel * STD + mean, other[index] * STD + mean, spread(share_B, frames)[:, None])
        return (found - mean) / STD

    def _box(self, frames: tuple[int, ...], draw: Draw, place: Draw) -> Tensor:
        """(first frame, frames, first band, bands) that each clip is read through."""
        size = numbers(frames, draw.ids.device)
        high = self.spec.mels
        unit = place.uniform(2, Use.TIME)
        long = size * (self.time[0] + unit[:, 0] * (self.time[1] - self.time[0]))
        other = draw.uniform(2, Use.FREQUENCY)
        tall = high * (self.bands[0] + other[:, 0] * (self.bands[1] - self.bands[0]))
        first, low = unit[:, 1] * (size - long), other[:, 1] * (high - tall)
        return torch.stack((first, long, low, tall), dim=1)


def partners(batch: AudioBatch) -> AudioBatch | None:
    """The partners as a batch of their own, standardized."""
    if batch.partner is None:
        return None
    sizes = batch.partner_lengths
    return AudioBatch(batch.ids, standardize(batch.partner, sizes), sizes)


# ---------------------------------------------------------------------------------------------- components


class ATST:
    """Two different segments of a clip, mixed with another clip and resized in time and frequency (ATST-Clip).

    Args:
        count: number of views.
        scale: share of the clip that a segment has, least and most, in (0, 1].
        mix: greatest share of power that another clip has, in [0, 0.9].
        time: length of what is read over that of the segment, least and most.
        bands: height of what is read over that of the spectrogram, least and most.
        stripes: stripes of frames, and of bands, that are hidden in each view.
        most_time: greatest share of frames in a stripe.
        most_bands: greatest share of bands in a stripe.
        gain: loudness changes by up to this many dB either way.
    """

    params = MEL_PARAMS
    asks = ("partner",)

    def __init__(
        self,
        spec: AudioSpec,
        *,
        count: int = 2,
        scale: tuple[float, float] = (0.7, 1.0),
        mix: float = 0.4,
        time: tuple[float, float] = (0.6, 1.2),
        bands: tuple[float, float] = (0.6, 1.2),
        stripes: int = 0,
        most_time: float = 0.1,
        most_bands: float = 0.2,
        gain: float = 6.0,
    ) -> None:
        above(0, count=count)
        self.roles = ("global",) * count
        self.crop = Augment(spec.longest, least(spec), spec.rate, scale=scale, gain=gain)
        self.alter = MelAugment(spec, mix, time, bands, stripes, most_time, most_bands)
        self.front = Spectrogram(spec)

    @in_blocks
    def __call__(self, batch: AudioBatch, draw: Draw) -> list[View]:
        other, views = partners(batch), []
        for number, role in enumerate(self.roles):
            at = draw.at(number)
            cut, params = self.crop(batch, at)
            made, more = self.alter(cut, other, at, self.front)
            views.append(View(made, role, params=params | more))
        return views


class Aligned:
    """Two views of the same segment whose frames match: mixed and moved in frequency each in its own way (ATST-Frame).

    Args:
        scale: share of the clip that the segment has, least and most, in (0, 1].
        mix: greatest share of power that another clip has, in [0, 0.9].
        time: length of what is read over that of the segment, least and most; the same for both views.
        bands: height of what is read over that of the spectrogram, least and most.
        gain: loudness changes by up to this many dB either way.
    """

    roles = ("global", "global")
    params = MEL_PARAMS
    asks = ("partner",)

    def __init__(
        self,
        spec: AudioSpec,
        *,
        scale: tuple[float, float] = (0.8, 1.0),
        mix: float = 0.4,
        time: tuple[float, float] = (0.8, 1.2),
        bands: tuple[float, float] = (0.6, 1.2),
        gain: float = 6.0,
    ) -> None:
        self.crop = Augment(spec.longest, least(spec), spec.rate, scale=scale, gain=gain)
        self.alter = MelAugment(spec, mix, time, bands)
        self.front = Spectrogram(spec)

    @in_blocks
    def __call__(self, batch: AudioBatch, draw: Draw) -> list[View]:
        other, views = partners(batch), []
        for number, role in enumerate(self.roles):
            cut, params = self.crop(batch, draw.at(number), place=draw)
            made, more = self.alter(cut, other, draw.at(number), self.front, place=draw)
            views.append(View(made, role, params=params | more))
        return views


class Clones:
    """The same crop several times, for objectives that mask each in its own way (EAT, data2vec 2.0).

    Args:
        count: number of views (16 in EAT).
        scale: share of the clip that the crop has, least and most, in (0, 1].
    """

    params = PARAMS

    def __init__(self, spec: AudioSpec, *, count: int = 4, scale: tuple[float, float] = (1.0, 1.0)) -> None:
        above(0, count=count)
        self.roles = ("global",) * count
        self.augment = Augment(spec.longest, least(spec), spec.rate, scale=scale)

    @in_blocks
    def __call__(self, batch: AudioBatch, draw: Draw) -> list[View]:
        made, params = self.augment(batch, draw)
        return [View(made, role, params=params) for role in self.roles]
