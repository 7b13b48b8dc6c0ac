"""Changes of waveforms, batched: crop, gain, noise, polarity, shift, pitch, reverb, mixtures.

Randomness is addressed: a sample gets the same whatever its batch; transforms have one size, that of the longest view,
and so do draws. Noise and room are made, not recorded: noise falls by up to 6 dB an octave; a room answers with noise
that dies away (Moorer 1979, https://doi.org/10.2307/3680280). Pitch moves by a phase vocoder (Flanagan and Golden
1966) and a slower or faster reading of what it gives, so the length stays.

    # B clips, b of them that are changed, n samples of the longest view, K frequencies, J frames
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.draw import Draw, Purpose
from unlabeled.errors import within
from unlabeled.transfer import numbers, send
from unlabeled_audio.batch import AudioBatch, dense, pack, spread, standardize, starts, windows
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
        lengths, host = self.drawn(batch.lengths, draw.to("cpu"), (place or draw).to("cpu"))
        names = tuple(host)
        on = dict(zip(names, send([host[name] for name in names], batch.wave.device), strict=True))
        batch = take(batch, on["crop"][:, 0], lengths)
        size = max(self.longest, *lengths)
        wave = shifted(standardize(batch.wave, lengths), lengths, on["shift"])
        wave = wave * spread(on["polarity"], lengths)
        most = max(host["pitch"][host["pitch rows"]].tolist(), default=1.0)
        for rows, change in (
            (on["pitch rows"], lambda x, b: move_pitch(x, on["pitch"][b], most)),
            (on["reverb rows"], lambda x, b: self._in_room(x, _of(draw, b), on["reverb"][b])),
            (on["snr rows"], lambda x, b: x + colored(_of(draw, b), size) * 10 ** (-on["snr"][b, None] / 20)),
        ):
            wave = _some(wave, lengths, rows, size, change)
        wave = standardize(wave, lengths) * spread(10 ** (on["gain"] / 20), lengths)
        params = {name: on[name] for name in names if not name.endswith(" rows")}
        return replace(batch, wave=wave, partner=None, partner_lengths=()), params

    def drawn(self, lengths: tuple[int, ...], draw: Draw, place: Draw) -> tuple[tuple[int, ...], dict[str, Tensor]]:
        """Samples of each crop, and what is done to each clip with the rows that are changed; all on the host."""
        sizes, first = cuts(lengths, place, self.scale, self.longest, self.least)
        size = torch.tensor(sizes)
        found = {"crop": torch.stack((first, size), 1), "shift": torch.zeros_like(size)}
        if self.shift:
            found["shift"] = draw.integers(1, Purpose.SHIFT, (size[:, None] * self.shift).long() + 1)[:, 0]
        found["polarity"] = 1.0 - 2.0 * _apply(draw, Use.POLARITY, self.polarity).float()
        semitones = draw.uniform(1, Purpose.PITCH, *_open((-self.semitones, self.semitones)))[:, 0]
        seconds = draw.uniform(1, Purpose.REVERB, *_open(self.decay))[:, 0]
        snr = draw.uniform(1, Use.SNR, *_open(self.snr))[:, 0]
        for name, use, p, value, without in (
            ("pitch", Use.PITCH_APPLY, self.pitch, 2.0 ** (semitones / 12), 1.0),
            ("reverb", Use.ROOM_APPLY, self.reverb, seconds, 0.0),
            ("snr", Use.NOISE_APPLY, self.noise, snr, QUIET),
        ):
            chosen = _apply(draw, use, p)
            found[name] = torch.where(chosen, value, torch.full_like(value, without))
            found[f"{name} rows"] = chosen.nonzero()[:, 0]
        found["gain"] = draw.uniform(1, Purpose.GAIN, *_open((-self.gain, self.gain)))[:, 0]
        return sizes, found

    def _in_room(self, x_BL: Tensor, draw: Draw, seconds_B: Tensor) -> Tensor:
        return in_room(x_BL, room(draw, seconds_B, round(self.decay[1] * self.rate), self.rate))


def _apply(draw: Draw, purpose: int, p: float) -> Tensor:
    return draw.bernoulli(1, purpose, p)[:, 0]


def _open(span: tuple[float, float]) -> tuple[float, float]:
    """A span that numbers can be drawn from, also where both ends are the same."""
    return span[0], max(span[1], span[0] + 1e-6)


def _of(draw: Draw, chosen: Tensor) -> Draw:
    """The draws of some samples."""
    return replace(draw, ids=draw.ids[chosen])


def _some(
    wave: Tensor, lengths: tuple[int, ...], rows: Tensor, size: int, change: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """``change(x[b, n], rows)`` for the clips of ``rows[b]`` alone, laid out at ``size`` samples."""
    if not len(rows):
        return wave
    x_BL = dense(wave, lengths, size)
    return pack(x_BL.index_copy(0, rows, change(x_BL[rows], rows).to(wave.dtype)), lengths)


# ---------------------------------------------------------------------------------------------- cuts and shifts


def cuts(
    lengths: Sequence[int], draw: Draw, scale: tuple[float, float], longest: int, least: int
) -> tuple[tuple[int, ...], Tensor]:
    """A random stretch of each clip, a share of it in ``scale``: its samples, and the first of them ``[B]``."""
    share = draw.uniform(1, Purpose.CROP, *_open(scale))[:, 0].tolist()
    sizes = tuple(min(n, longest, max(least, round(n * s))) for n, s in zip(lengths, share, strict=True))
    room_B = torch.tensor([n - m for n, m in zip(lengths, sizes, strict=True)])
    return sizes, draw.integers(1, Purpose.CROP_PLACE, room_B[:, None] + 1)[:, 0]


def take(batch: AudioBatch, first: Tensor, sizes: tuple[int, ...]) -> AudioBatch:
    """``sizes[b]`` samples of each clip from ``first[b]`` on."""
    if sizes == batch.lengths:
        return batch
    begin = numbers(starts(batch.lengths), first.device)
    index = windows(begin, first, sizes)
    target = None if batch.target is None else batch.target[index]
    return replace(batch, wave=batch.wave[index], target=target, lengths=sizes)


def shifted(wave: Tensor, lengths: tuple[int, ...], by_B: Tensor) -> Tensor:
    """Each clip turned around by ``by_B`` samples, what leaves at the end coming in at the start."""
    size = numbers(lengths, wave.device)
    begin = numbers(starts(lengths), wave.device)
    within_S = torch.arange(len(wave), device=wave.device) - spread(begin, lengths)
    return wave[spread(begin, lengths) + (within_S - spread(by_B, lengths)) % spread(size, lengths)]


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


def stretch(spectrum_BKJ: Tensor, factor_B: Tensor, hop: int, most: float) -> Tensor:
    """Phase vocoder: spectra of the same sound, ``factor_B`` times as long, ``most`` at most: ``[B, K, J']``."""
    bins, frames = spectrum_BKJ.shape[1:]
    steps = torch.arange(math.ceil(frames * most), device=factor_B.device)
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


def move_pace(x_BL: Tensor, factor_B: Tensor, most: float, size: int = 512) -> Tensor:
    """``[B, L']``: each clip ``factor_B`` times as long at its own pitch, L' for ``most``, the greatest factor."""
    hop = size // 4
    if x_BL.shape[1] < 2 * size:
        size, hop = 128, 32
    window = torch.hann_window(size, device=x_BL.device)
    spectrum = torch.stft(x_BL, size, hop, window=window, return_complex=True, pad_mode="constant")
    return inverse_stft(stretch(spectrum, factor_B, hop, most), size, hop, window)


def inverse_stft(spectrum_BKJ: Tensor, size: int, hop: int, window: Tensor) -> Tensor:
    """torch's ``istft``, which on an accelerator waits to check the window: there by adding up the frames."""
    if spectrum_BKJ.device.type == "cpu":
        return torch.istft(spectrum_BKJ, size, hop, window=window)
    frames = torch.fft.irfft(spectrum_BKJ, size, dim=1) * window[:, None]
    length = size + hop * (frames.shape[2] - 1)

    def added(x_BNJ: Tensor) -> Tensor:
        return F.fold(x_BNJ, (1, length), (1, size), stride=(1, hop))[:, 0, 0, size // 2 : length - size // 2]

    weight = added(window.square()[None, :, None].expand(1, -1, frames.shape[2]))
    return added(frames) / weight


def paced(
    batch: AudioBatch, draw: Draw, p: float, span: tuple[float, float], longest: int
) -> tuple[AudioBatch, Tensor]:
    """Some clips slower or faster, ``span`` times as long; and by which factor, 1 of the others."""
    host = draw.to("cpu")
    chosen = _apply(host, Use.STRETCH_APPLY, p)
    drawn = host.uniform(1, Purpose.STRETCH, *_open(span))[:, 0]
    drawn = torch.where(chosen, drawn, torch.ones_like(drawn))
    factor = send([drawn], batch.wave.device)[0]
    sizes = tuple(max(1, int(n * f)) for n, f in zip(batch.lengths, drawn.tolist(), strict=True))
    if sizes == batch.lengths:
        return batch, factor
    x_BL = dense(batch.wave, batch.lengths, max(longest, *batch.lengths) + TAIL)  # as wide in any batch
    moved = move_pace(x_BL, factor, float(drawn.max()))
    width = max(moved.shape[1], x_BL.shape[1], *sizes)
    own, moved = (F.pad(x, (0, width - x.shape[1])) for x in (x_BL, moved))
    return replace(batch, wave=pack(torch.where((factor == 1)[:, None], own, moved), sizes), lengths=sizes), factor


def move_pitch(x_BL: Tensor, factor_B: Tensor, most: float, size: int = 512) -> Tensor:
    """Every frequency times ``factor_B``, ``most`` at most, the length as it was."""
    length, y = x_BL.shape[1], move_pace(x_BL, factor_B, most, size)
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
    size = numbers(batch.lengths, clip.device)
    theirs = numbers(batch.partner_lengths, clip.device)
    place = draw.uniform(3, Use.MIX_PLACE)
    stretch_B = torch.minimum((size * most * place[:, 0]).long() + 1, theirs)
    here = ((size - stretch_B).clamp(min=0) * place[:, 1]).long()
    there = ((theirs - stretch_B) * place[:, 2]).long()
    chosen = _apply(draw, Purpose.MIX, p)
    loud = level_B2[:, 0] + draw.uniform(1, Use.MIX_LEVEL)[:, 0] * (level_B2[:, 1] - level_B2[:, 0])
    gain = chosen * 10 ** (-loud / 20)
    begin = numbers(starts(batch.lengths), clip.device)
    first = numbers(starts(batch.partner_lengths), clip.device)
    at = torch.arange(len(clip), device=clip.device) - spread(begin + here, batch.lengths)
    inside = (at >= 0) & (at < spread(stretch_B, batch.lengths))
    heard = other[(at + spread(first + there, batch.lengths)).clamp(0, len(other) - 1)] * inside
    wave = clip + heard * spread(gain, batch.lengths)
    return replace(batch, wave=standardize(wave, batch.lengths), target=clip), chosen
