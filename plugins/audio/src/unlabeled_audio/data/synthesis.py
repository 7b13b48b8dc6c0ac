"""Formant-like syllables: a voiced source with harmonics, shaped by moving formants, after a consonant.

A source-filter voice in the manner of Klatt 1980, https://doi.org/10.1121/1.383940, made additively: harmonic k of the
pitch is as loud as three resonances let it be. A class is a consonant and the vowels that it moves between; a voice is
a pitch, a length of the vocal tract, a tempo and a breathiness. Pitch, tempo, place and loudness differ from take to
take, so that no class is told by one of them.

    # n samples of a syllable, K harmonics
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

# formants 1 to 3 in Hz, of an adult man (Peterson and Barney 1952, rounded)
VOWELS = {
    "i": (270, 2290, 3010),
    "e": (530, 1840, 2480),
    "a": (730, 1090, 2440),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}
HUM = (250, 1000, 2200)  # of a closed mouth
WIDTHS = (60.0, 90.0, 150.0)  # of the formants in Hz


@dataclass(frozen=True)
class Voice:
    """``pitch`` in Hz; ``tract`` multiplies formants; ``tempo`` multiplies durations; ``breath`` is noise."""

    name: str
    pitch: float
    tract: float
    tempo: float
    breath: float


VOICES = (
    Voice("ann", 205.0, 1.17, 0.95, 0.03),
    Voice("ben", 110.0, 1.00, 1.05, 0.02),
    Voice("cleo", 240.0, 1.22, 0.85, 0.08),
    Voice("dan", 95.0, 0.94, 1.20, 0.04),
    Voice("eva", 180.0, 1.12, 1.10, 0.02),
    Voice("finn", 135.0, 1.04, 0.90, 0.10),
)
# consonant, vowel at the start, vowel at the end
SYLLABLES = {
    "ba": ("b", "a", "a"),
    "di": ("d", "i", "i"),
    "gu": ("g", "u", "u"),
    "sa": ("s", "a", "a"),
    "shi": ("sh", "i", "i"),
    "mo": ("m", "o", "o"),
    "ai": ("", "a", "i"),
    "ou": ("", "o", "u"),
    "se": ("s", "e", "e"),
    "ue": ("", "u", "e"),
}
BURSTS = {"b": (600.0, 0.012), "d": (2600.0, 0.02), "g": (1500.0, 0.03), "s": (3600.0, 0.09), "sh": (2300.0, 0.1)}


@dataclass(frozen=True)
class Timing:
    """Samples of the silence before, of the consonant, of the vowel, and of the silence after."""

    before: int
    consonant: int
    vowel: int
    after: int

    @property
    def total(self) -> int:
        return self.before + self.consonant + self.vowel + self.after


def timing(name: str, voice: Voice, rate: int, random: np.random.Generator) -> Timing:
    """How long the parts of one take are: the first three draws of it."""
    tempo, before, after = random.uniform(0.8, 1.25), random.uniform(0.01, 0.06), random.uniform(0.01, 0.06)
    tempo *= voice.tempo
    consonant = SYLLABLES[name][0]
    seconds = BURSTS[consonant][1] if consonant in BURSTS else 0.06 if consonant == "m" else 0.0
    sizes = (rate * before, rate * seconds * tempo, rate * 0.22 * tempo, rate * after)
    return Timing(*(round(size) for size in sizes))


def syllable(name: str, voice: Voice, rate: int, random: np.random.Generator) -> Array:
    """One take: ``float32[n]``, with a little silence around it and a floor of noise."""
    consonant, first, last = SYLLABLES[name]
    time = timing(name, voice, rate, random)
    parts = [np.zeros(time.before)]
    if consonant in BURSTS:
        parts.append(_burst(BURSTS[consonant][0], time.consonant, rate, random))
    if consonant == "m":
        parts.append(0.4 * _vowel(HUM, HUM, time.consonant, voice, rate, random))
    parts.append(_vowel(VOWELS[first], VOWELS[last], time.vowel, voice, rate, random))
    parts.append(np.zeros(time.after))
    wave = np.concatenate(parts)
    loudness = 0.1 * 10 ** random.uniform(-0.5, 0.5)
    wave = loudness * (wave / max(float(np.abs(wave).max()), 1e-6) + random.normal(0, 0.01, len(wave)))
    return wave.astype(np.float32)


def _vowel(
    first: tuple[int, ...], last: tuple[int, ...], n: int, voice: Voice, rate: int, random: np.random.Generator
) -> Array:
    along = np.linspace(0, 1, n)
    pitch = voice.pitch * random.uniform(0.88, 1.14) * (1 + random.uniform(-0.15, 0.15) * (along - 0.5))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    tract = voice.tract * random.uniform(0.97, 1.03)
    formants = tract * (np.array(first)[:, None] * (1 - along) + np.array(last)[:, None] * along)
    k = np.arange(1, int(0.5 * rate / pitch.max()) + 1)
    # loudness changes slowly: the envelope of each harmonic is computed at 64 points and drawn through them
    knots = np.linspace(0, n - 1, 64).astype(int)
    loud = _response(k[:, None] * pitch[knots], formants[:, knots]) / k[:, None]
    loud = np.stack([np.interp(np.arange(n), knots, row) for row in loud])
    voiced = (loud * np.sin(k[:, None] * phase)).sum(0)
    attack = np.minimum(1, np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.02 * rate))
    found: Array = attack * (voiced + voice.breath * np.abs(voiced).mean() * random.normal(0, 1, n))
    return found


def _response(frequency: Array, formants: Array) -> Array:
    """Loudness at ``frequency[K, m]`` of resonances at ``formants[3, m]``."""
    weights = (1.0, 0.6, 0.3)
    out = np.zeros_like(frequency)
    for weight, center, width in zip(weights, formants, WIDTHS):
        out += weight / (1 + ((frequency - center) / width) ** 2)
    return out


def _burst(center: float, n: int, rate: int, random: np.random.Generator) -> Array:
    """Noise around ``center`` Hz."""
    spectrum = np.fft.rfft(random.normal(0, 1, n))
    frequency = np.fft.rfftfreq(n, 1 / rate)
    shaped = np.fft.irfft(spectrum / (1 + ((frequency - center) / 500.0) ** 2), n)
    found: Array = 0.5 * shaped / max(float(np.abs(shaped).max()), 1e-6) * np.hanning(n)
    return found
