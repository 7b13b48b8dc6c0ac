"""Changes of waveforms, batched: crop, gain, noise, polarity, shift, pitch, reverb, mixtures.

Randomness is addressed: a sample gets the same whatever its batch; transforms have one size, that of the longest view,
and so do draws. Noise and room are made, not recorded: noise falls by up to 6 dB an octave; a room answers with noise
that dies away (Moorer 1979, https://doi.org/10.2307/3680280). Pitch moves by a phase vocoder (Flanagan and Golden
1966) and a slower or faster reading of what it gives, so the length stays.

    # B clips, b of them that are changed, n samples of the longest view, K frequencies, J frames
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.draw import Draw, Purpose
from unlabeled.errors import within
from unlabeled_audio.batch import AudioBatch, dense, pack, spread, standardize, windows
from unlabeled_audio.ops.frontends import next_power
from unlabeled_audio.ops.purposes import Use

PARAMS = ("crop", "gain", "polarity", "shift", "snr", "pitch", "reverb")
TAIL = 512  # samples of silence after a clip whose pace changes
QUIET = 120.0  # dB, the signal-to-noise ratio of a clip without noise


@dataclass(frozen=True)
class Augment:
    """How one view of each clip is made; strengths at 0 do nothing."""

    longest: int
    least: int
    rate: int
    scale: tuple[float, float] = (1.0, 1.0)
    gain: float = 0.0
    polarity: float = 0.0
    shift: float = 0.0
    noise: float = 0.0
    snr: tuple[float, float] = (5.0, 30.0)
    pitch: float = 0.0
    semitones: float = 3.0
    reverb: float = 0.0
    decay: tuple[float, float] = (0.05, 0.4)

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale is {self.scale}; it must be two shares in (0, 1], the smaller first")
        if not self.snr[0] <= self.snr[1]:
            raise ValueError(f"snr is {self.snr}; it must be two levels in dB, the smaller first")
        if not 0 < self.decay[0] <= self.decay[1]:
            raise ValueError(f"decay is {self.decay}; it must be two times in seconds above 0, the smaller first")
        within(0, 1, polarity=self.polarity, noise=self.noise, pitch=self.pitch, reverb=self.reverb, shift=self.shift)
        within(0, 24, gain=self.gain, semitones=self.semitones)

    def __call__(
        self, batch: AudioBatch, draw: Draw, *, place: Draw | None = None
    ) -> tuple[AudioBatch, dict[str, Tensor]]:
        """The view's batch, standardized before its gain, and what was done; ``place`` draws the crop."""
        batch, first = crop(batch, draw if place is None else place, self.scale, self.longest, self.least)
        lengths, size = batch.lengths, max(self.longest, *batch.lengths)
        params = {"crop": torch.stack((first, torch.tensor(lengths, device=first.device)), 1)}
        wave = standardize(batch.wave, lengths)
        wave, params["shift"] = shifted(wave, lengths, draw, self.shift)
        wave, params["polarity"] = signed(wave, lengths, draw, self.polarity)
        for name, change in (("pitch", self._pitch), ("reverb", self._reverb), ("snr", self._noise)):
            wave, params[name] = change(wave, lengths, draw, size)
        params["gain"] = draw.uniform(1, Purpose.GAIN, *_open((-self.gain, self.gain)))[:, 0]
        wave = standardize(wave, lengths) * spread(10 ** (params["gain"] / 20), lengths)
        return replace(batch, wave=wave, partner=None, partner_lengths=()), params

    def _pitch(self, wave: Tensor, lengths: tuple[int, ...], draw: Draw, size: int) -> tuple[Tensor, Tensor]:
        chosen = _apply(draw, Use.PITCH_APPLY, self.pitch)
        factor = 2.0 ** (draw.uniform(1, Purpose.PITCH, *_open((-self.semitones, self.semitones)))[:, 0] / 12)
        wave = _some(wave, lengths, chosen, size, lambda x, b: move_pitch(x, factor[b]))
        return wave, torch.where(chosen, factor, torch.ones_like(factor))

    def _reverb(self, wave: Tensor, lengths: tuple[int, ...], draw: Draw, size: int) -> tuple[Tensor, Tensor]:
        chosen = _apply(draw, Use.ROOM_APPLY, self.reverb)
        seconds = draw.uniform(1, Purpose.REVERB, *_open(self.decay))[:, 0]
        n = round(self.decay[1] * self.rate)
        wave = _some(wave, lengths, chosen, size, lambda x, b: in_room(x, room(_of(draw, b), seconds[b], n, self.rate)))
        return wave, seconds * chosen

    def _noise(self, wave: Tensor, lengths: tuple[int, ...], draw: Draw, size: int) -> tuple[Tensor, Tensor]:
        chosen = _apply(draw, Use.NOISE_APPLY, self.noise)
        snr = draw.uniform(1, Use.SNR, *_open(self.snr))[:, 0]
        loud = 10 ** (-snr / 20)
        wave = _some(wave, lengths, chosen, size, lambda x, b: x + colored(_of(draw, b), size) * loud[b, None])
        return wave, torch.where(chosen, snr, torch.full_like(snr, QUIET))


def _apply(draw: Draw, purpose: int, p: float) -> Tensor:
    return draw.bernoulli(1, purpose, p)[:, 0]


def _open(span: tuple[float, float]) -> tuple[float, float]:
    """A span that numbers can be drawn from, also where both ends are the same."""
    return span[0], max(span[1], span[0] + 1e-6)


def _of(draw: Draw, chosen: Tensor) -> Draw:
    """The draws of some samples."""
    return replace(draw, ids=draw.ids[chosen])


def _some(
    wave: Tensor, lengths: tuple[int, ...], chosen: Tensor, size: int, change: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """``change(x[b, n], chosen)`` for the chosen clips alone, laid out at ``size`` samples."""
    which = [number for number, yes in enumerate(chosen.tolist()) if yes]
    if not which:
        return wave
    x_BL = dense(wave, lengths, size)
    index = torch.tensor(which, device=wave.device)
    return pack(x_BL.index_copy(0, index, change(x_BL[index], index).to(wave.dtype)), lengths)


# ---------------------------------------------------------------------------------------------- cuts and shifts


def crop(
    batch: AudioBatch, draw: Draw, scale: tuple[float, float], longest: int, least: int
) -> tuple[AudioBatch, Tensor]:
    """A random stretch of each clip, a share of it in ``scale``, and its first sample ``[B]``."""
    share = draw.uniform(1, Purpose.CROP, *_open(scale))[:, 0].tolist()
    sizes = tuple(min(n, longest, max(least, round(n * s))) for n, s in zip(batch.lengths, share, strict=True))
    room_B = torch.tensor([n - m for n, m in zip(batch.lengths, sizes, strict=True)], device=batch.wave.device)
    first = draw.integers(1, Purpose.CROP_PLACE, room_B[:, None] + 1)[:, 0]
    return take(batch, first, sizes), first


def take(batch: AudioBatch, first: Tensor, sizes: tuple[int, ...]) -> AudioBatch:
    """``sizes[b]`` samples of each clip from ``first[b]`` on."""
    if sizes == batch.lengths:
        return batch
    begin = torch.tensor([0, *batch.lengths[:-1]], device=first.device).cumsum(0)
    index = windows(begin, first, sizes)
    target = None if batch.target is None else batch.target[index]
    return replace(batch, wave=batch.wave[index], target=target, lengths=sizes)


def shifted(wave: Tensor, lengths: tuple[int, ...], draw: Draw, most: float) -> tuple[Tensor, Tensor]:
    """Each clip turned around by up to ``most`` of its length, what leaves at the end coming in at the start."""
    size = torch.tensor(lengths, device=wave.device)
    if not most:
        return wave, torch.zeros_like(size)
    by = draw.integers(1, Purpose.SHIFT, (size[:, None] * most).long() + 1)[:, 0]
    begin = torch.tensor([0, *lengths[:-1]], device=wave.device).cumsum(0)
    within_S = torch.arange(len(wave), device=wave.device) - spread(begin, lengths)
    index = spread(begin, lengths) + (within_S - spread(by, lengths)) % spread(size, lengths)
    return wave[index], by


def signed(wave: Tensor, lengths: tuple[int, ...], draw: Draw, p: float) -> tuple[Tensor, Tensor]:
    """Polarity turned with probability ``p``: the same to the ear."""
    sign = 1.0 - 2.0 * _apply(draw, Use.POLARITY, p).float()
    return wave * spread(sign, lengths), sign


# ---------------------------------------------------------------------------------------------- noise and rooms


def noise(draw: Draw, purpose: int, n: int) -> Tensor:
    """``[B, n]`` of deviation 1 and almost normal: sums of four uniform numbers, from one word each."""
    words = draw.words(n, purpose)
    total = sum(((words >> shift) & 0xFFFF) for shift in (0, 16, 32, 48))
    assert isinstance(total, Tensor)
    return (total.float() - 131070.0) * (math.sqrt(3.0) / 65536.0)


def colored(draw: Draw, n: int) -> Tensor:
    """``[B, n]`` noise of deviation 1 whose power falls by 0 (white) to 6 dB (brown) an octave."""
    tilt = draw.uniform(1, Use.COLOR, 0.0, 1.0)
    spectrum = torch.fft.rfft(noise(draw, Purpose.NOISE, n))
    place = torch.arange(spectrum.shape[1], device=tilt.device).clamp(min=max(1, n // 400))  # flat below 20 to 40 Hz
    x = torch.fft.irfft(spectrum * place.pow(-tilt), n)
    return x / x.std(1, keepdim=True)


def room(draw: Draw, decay_B: Tensor, n: int, rate: int) -> Tensor:
    """``[B, n]`` impulse responses: the direct sound, then noise that falls by 60 dB in ``decay_B`` seconds."""
    time = torch.arange(n, device=decay_B.device) / rate
    tail = noise(draw, Use.ROOM, n) * torch.exp(-6.9 * time / decay_B[:, None])
    tail = 0.5 * tail / tail.norm(dim=1, keepdim=True).clamp(min=1e-6)
    return torch.cat((torch.ones_like(tail[:, :1]), tail[:, 1:]), dim=1)


def in_room(x_BL: Tensor, room_Bn: Tensor) -> Tensor:
    """What is heard of each clip in its room, as long as the clip."""
    size = next_power(x_BL.shape[1] + room_Bn.shape[1])
    heard = torch.fft.irfft(torch.fft.rfft(x_BL, size) * torch.fft.rfft(room_Bn, size), size)
    return heard[:, : x_BL.shape[1]]


# ---------------------------------------------------------------------------------------------- pitch


def stretch(spectrum_BKJ: Tensor, factor_B: Tensor, hop: int) -> Tensor:
    """Phase vocoder: spectra of the same sound, ``factor_B`` times as long: ``[B, K, J']``, J' for the greatest."""
    bins, frames = spectrum_BKJ.shape[1:]
    steps = torch.arange(math.ceil(frames * float(factor_B.max())), device=factor_B.device)
    time = (steps / factor_B[:, None]).clamp(max=frames - 1)  # the frame that stands at each step
    left = time.floor().long().clamp(max=max(0, frames - 2))
    right = (left + 1).clamp(max=frames - 1)
    share = (time - left)[:, None]
    wide = (-1, bins, -1)
    a = spectrum_BKJ.gather(2, left[:, None].expand(*wide))
    b = spectrum_BKJ.gather(2, right[:, None].expand(*wide))
    expected = torch.linspace(0, math.pi * hop, bins, device=time.device)[:, None]
    turn = b.angle() - a.angle() - expected
    turn = turn - 2 * math.pi * torch.round(turn / (2 * math.pi)) + expected
    start = spectrum_BKJ[:, :, :1].angle()
    phase = torch.cat((start, start + turn[:, :, :-1].cumsum(2)), dim=2)
    return torch.polar(a.abs() * (1 - share) + b.abs() * share, phase)


def move_pace(x_BL: Tensor, factor_B: Tensor, size: int = 512) -> Tensor:
    """``[B, L']``: each clip ``factor_B`` times as long at its own pitch, L' for the greatest factor."""
    hop = size // 4
    if x_BL.shape[1] < 2 * size:
        size, hop = 128, 32
    window = torch.hann_window(size, device=x_BL.device)
    spectrum = torch.stft(x_BL, size, hop, window=window, return_complex=True, pad_mode="constant")
    return torch.istft(stretch(spectrum, factor_B, hop), size, hop, window=window)


def paced(
    batch: AudioBatch, draw: Draw, p: float, span: tuple[float, float], longest: int
) -> tuple[AudioBatch, Tensor]:
    """Some clips slower or faster, ``span`` times as long; and by which factor, 1 of the others."""
    chosen = _apply(draw, Use.STRETCH_APPLY, p)
    factor = draw.uniform(1, Purpose.STRETCH, *_open(span))[:, 0]
    factor = torch.where(chosen, factor, torch.ones_like(factor))
    sizes = tuple(max(1, int(n * f)) for n, f in zip(batch.lengths, factor.tolist(), strict=True))
    if sizes == batch.lengths:
        return batch, factor
    x_BL = dense(batch.wave, batch.lengths, max(longest, *batch.lengths) + TAIL)  # as wide in any batch
    moved = move_pace(x_BL, factor)
    width = max(moved.shape[1], x_BL.shape[1], *sizes)
    own, moved = (F.pad(x, (0, width - x.shape[1])) for x in (x_BL, moved))
    return replace(batch, wave=pack(torch.where((factor == 1)[:, None], own, moved), sizes), lengths=sizes), factor


def move_pitch(x_BL: Tensor, factor_B: Tensor, size: int = 512) -> Tensor:
    """Every frequency times ``factor_B``, the length as it was."""
    length, y = x_BL.shape[1], move_pace(x_BL, factor_B, size)
    place = torch.arange(length, device=x_BL.device) * factor_B[:, None]
    left = place.long().clamp(max=y.shape[1] - 2)
    share = (place - left).clamp(0, 1)
    return y.gather(1, left) * (1 - share) + y.gather(1, left + 1) * share


# ---------------------------------------------------------------------------------------------- mixtures


def mixed(batch: AudioBatch, draw: Draw, p: float, level_B2: Tensor, most: float) -> tuple[AudioBatch, Tensor]:
    """Over a stretch of at most ``most`` of each clip, its partner is heard too.

    ``target`` stays clean. ``level`` is by how many dB the clip is louder, least and most. Returns also who was mixed.
    """
    assert batch.partner is not None
    clip = standardize(batch.wave, batch.lengths)
    other = standardize(batch.partner, batch.partner_lengths)
    size = torch.tensor(batch.lengths, device=clip.device)
    theirs = torch.tensor(batch.partner_lengths, device=clip.device)
    place = draw.uniform(3, Use.MIX_PLACE)
    stretch_B = torch.minimum((size * most * place[:, 0]).long() + 1, theirs)
    here = ((size - stretch_B).clamp(min=0) * place[:, 1]).long()
    there = ((theirs - stretch_B) * place[:, 2]).long()
    chosen = _apply(draw, Purpose.MIX, p)
    loud = level_B2[:, 0] + draw.uniform(1, Use.MIX_LEVEL)[:, 0] * (level_B2[:, 1] - level_B2[:, 0])
    gain = chosen * 10 ** (-loud / 20)
    begin = torch.tensor([0, *batch.lengths[:-1]], device=clip.device).cumsum(0)
    first = torch.tensor([0, *batch.partner_lengths[:-1]], device=clip.device).cumsum(0)
    at = torch.arange(len(clip), device=clip.device) - spread(begin + here, batch.lengths)
    inside = (at >= 0) & (at < spread(stretch_B, batch.lengths))
    heard = other[(at + spread(first + there, batch.lengths)).clamp(0, len(other) - 1)] * inside
    wave = clip + heard * spread(gain, batch.lengths)
    return replace(batch, wave=standardize(wave, batch.lengths), target=clip), chosen
