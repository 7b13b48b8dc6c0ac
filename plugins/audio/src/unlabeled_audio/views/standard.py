"""The views of clips that published systems train on, batched, in plain torch.

Each class is a component: its settings are the augmentation's strengths, and a call turns a batch into views whose
``params`` say what was done to each clip: ``crop[B, 2]`` (first sample, samples), ``gain[B]`` in dB, ``polarity[B]``,
``shift[B]`` in samples, ``snr[B]`` in dB (120 = no noise), ``pitch[B]`` (factor), ``reverb[B]`` (seconds, 0 = none),
and of a pair ``pace[B]``, its length over the crop's.
Clips have mean 0 and deviation 1 before their gain; a view is no longer than the spec's ``seconds``.
"""

from dataclasses import replace

import torch

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.errors import above, within
from unlabeled.transfer import numbers, send
from unlabeled_audio.batch import AudioBatch, AudioSpec, standardize
from unlabeled_audio.ops.purposes import Use
from unlabeled_audio.views.augment import PARAMS, Augment, colored, mixed, paced, take
from unlabeled_audio.views.blocks import in_blocks


def least(spec: AudioSpec) -> int:
    """Samples of the shortest crop: eight frames, or the clip itself where it is shorter."""
    return spec.window_samples + 7 * spec.hop_samples


class Wave:
    """Two views of each clip, or more: a crop, then gain, noise, polarity, shift, pitch and reverb.

    Args:
        count: number of views.
        scale: share of the clip that a crop has, least and most, in (0, 1].
        gain: loudness changes by up to this many dB either way.
        polarity: probability that the sign is turned.
        shift: greatest share of the crop by which it is turned around in time, in [0, 1].
        noise: probability of noise, white to brown.
        snr: of the noise, signal over noise in dB, least and most.
        pitch: probability of a shift of pitch.
        semitones: greatest shift of pitch either way.
        reverb: probability of reverberation.
        decay: seconds in which a room's answer falls by 60 dB, least and most.
    """

    roles: tuple[str, ...]
    params: tuple[str, ...] = PARAMS

    def __init__(
        self,
        spec: AudioSpec,
        *,
        count: int = 2,
        scale: tuple[float, float] = (0.6, 1.0),
        gain: float = 6.0,
        polarity: float = 0.5,
        shift: float = 0.0,
        noise: float = 0.5,
        snr: tuple[float, float] = (5.0, 30.0),
        pitch: float = 0.5,
        semitones: float = 4.0,
        reverb: float = 0.3,
        decay: tuple[float, float] = (0.05, 0.4),
    ) -> None:
        above(0, count=count)
        self.roles = ("global",) * count
        self.augment = Augment(
            longest=spec.longest,
            least=least(spec),
            rate=spec.rate,
            scale=scale,
            gain=gain,
            polarity=polarity,
            shift=shift,
            noise=noise,
            snr=snr,
            pitch=pitch,
            semitones=semitones,
            reverb=reverb,
            decay=decay,
        )

    @in_blocks
    def __call__(self, batch: AudioBatch, draw: Draw) -> list[View]:
        views = []
        for number, role in enumerate(self.roles):
            changed, params = self.augment(batch, draw.at(number))
            views.append(View(changed, role, params=params))
        return views


class Plain(Wave):
    """One random crop of each clip, or several, with nothing else done: for masked objectives, COLA and CPC."""

    def __init__(
        self, spec: AudioSpec, *, count: int = 1, scale: tuple[float, float] = (1.0, 1.0), gain: float = 0.0
    ) -> None:
        above(0, count=count)
        self.roles = ("global",) * count
        self.augment = Augment(spec.longest, least(spec), spec.rate, scale=scale, gain=gain)


class Paired(Wave):
    """A crop as it is, whose units are known, and the same crop changed: for units that augmentation leaves alone.

    Args:
        stretch: probability that the changed crop is slower or faster, at its own pitch.
        pace: its length over the crop's, least and most.
        noise: probability of noise, white to brown.
        snr: of the noise, signal over noise in dB, least and most.
        pitch: probability of a shift of pitch.
        semitones: greatest shift of pitch either way.
        reverb: probability of reverberation.
        gain: loudness changes by up to this many dB either way.
    """

    roles = ("source", "altered")
    params = (*PARAMS, "pace")

    def __init__(
        self,
        spec: AudioSpec,
        *,
        stretch: float = 0.5,
        pace: tuple[float, float] = (0.8, 1.25),
        noise: float = 0.5,
        snr: tuple[float, float] = (5.0, 20.0),
        pitch: float = 0.5,
        semitones: float = 4.0,
        reverb: float = 0.5,
        gain: float = 6.0,
    ) -> None:
        within(0, 1, stretch=stretch)
        if not 0.25 <= pace[0] <= pace[1] <= 4:
            raise ValueError(f"pace is {pace}; it must be two factors in [0.25, 4], the smaller first")
        self.stretch, self.pace, longest = stretch, pace, int(spec.longest / max(1.0, pace[1] * (stretch > 0)))
        self.clean = Augment(longest, least(spec), spec.rate)
        self.augment = Augment(
            longest=longest,
            least=least(spec),
            rate=spec.rate,
            noise=noise,
            snr=snr,
            pitch=pitch,
            semitones=semitones,
            reverb=reverb,
            gain=gain,
        )

    @in_blocks
    def __call__(self, batch: AudioBatch, draw: Draw) -> list[View]:
        first, params = self.clean(batch, draw, place=draw)
        second, changed = self.augment(batch, draw.at(1), place=draw)
        second, pace = paced(second, draw.at(1), self.stretch, self.pace, self.clean.longest)
        params, changed = params | {"pace": torch.ones_like(pace)}, changed | {"pace": pace}
        return [View(first, "source", params=params), View(second, "altered", params=changed)]


class Mixed:
    """One crop in which another clip or noise is heard for a while; targets are of the clean one (WavLM, 2110.13900).

    Args:
        p: probability of a mixture.
        level: by how many dB the clip is louder than the other, least and most.
        noise: share of mixtures that are with noise, white to brown, and not with another clip.
        snr: by how many dB the clip is louder than noise, least and most.
        most: greatest share of the clip that the other is heard in, in (0, 1].
        scale: share of the clip that a crop has, least and most, in (0, 1].
    """

    roles = ("global",)
    params = (*PARAMS, "mixed")
    asks = ("partner",)

    def __init__(
        self,
        spec: AudioSpec,
        *,
        p: float = 0.2,
        level: tuple[float, float] = (-5.0, 5.0),
        noise: float = 0.1,
        snr: tuple[float, float] = (-5.0, 20.0),
        most: float = 0.5,
        scale: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        within(0, 1, p=p, most=most, noise=noise)
        for name, span in (("level", level), ("snr", snr)):
            if span[0] > span[1]:
                raise ValueError(f"{name} is {span}; it must be two levels in dB, the smaller first")
        self.p, self.level, self.noise, self.snr, self.most = p, level, noise, snr, most
        self.augment = Augment(spec.longest, least(spec), spec.rate, scale=scale)

    @in_blocks
    def __call__(self, batch: AudioBatch, draw: Draw) -> list[View]:
        changed, params = self.augment(batch, draw)
        noisy = draw.to("cpu").bernoulli(1, Use.MIX_NOISE, self.noise)
        level = send([torch.where(noisy, torch.tensor(self.snr), torch.tensor(self.level))], batch.wave.device)[0]
        both = self._beside(batch, draw, noisy[:, 0].tolist())
        both = replace(changed, target=None, partner=both.partner, partner_lengths=both.partner_lengths)
        heard, chosen = mixed(both, draw, self.p, level, self.most)
        alone = AudioBatch(heard.ids, heard.wave, heard.lengths, target=heard.target)
        return [View(alone, "global", params={**params, "mixed": chosen})]

    def _beside(self, batch: AudioBatch, draw: Draw, noisy: list[bool]) -> AudioBatch:
        """The batch with noise as the partner of some clips, as long as the longest view."""
        which = [number for number, yes in enumerate(noisy) if yes]
        if batch.partner is None or not which:
            return batch
        others = list(batch.partner.split(batch.partner_lengths))
        made = colored(replace(draw, ids=draw.ids[numbers(which, draw.ids.device)]), self.augment.longest)
        for number, row in zip(which, made, strict=True):
            others[number] = row
        return replace(batch, partner=torch.cat(others), partner_lengths=tuple(len(x) for x in others))


class Clean:
    """The whole clip, nothing drawn; of one longer than the spec's ``seconds``, the middle."""

    roles = ("clean",)
    params = ("crop",)

    def __init__(self, spec: AudioSpec) -> None:
        self.spec = spec

    @in_blocks
    def __call__(self, batch: AudioBatch, draw: Draw) -> list[View]:
        sizes = tuple(min(n, self.spec.longest) for n in batch.lengths)
        first = numbers([(n - m) // 2 for n, m in zip(batch.lengths, sizes, strict=True)], batch.wave.device)
        cut = take(batch, first, sizes)
        crop = torch.stack((first, numbers(sizes, first.device)), 1)
        alone = AudioBatch(cut.ids, standardize(cut.wave, sizes), sizes)
        return [View(alone, "clean", params={"crop": crop})]
