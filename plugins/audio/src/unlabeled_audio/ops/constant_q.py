"""Constant-Q spectrogram at the rows of clips: tones at equal steps of an octave, each seen through Q of its periods.

Brown 1991, https://doi.org/10.1121/1.400476. One transform a clip; a tone's Hann window is a narrow band of it, which
folded to the rate of the rows and transformed back is that tone at every row (Velasco et al. 2011, the non-stationary
Gabor frame, https://hal.science/hal-00654358). Differs: a band ends ``LOBES`` lobes from its tone, 64 dB below it.

    # B clips, T rows of all of them, L points of the transform, P rows of L, K frequencies of a band
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.transfer import send
from unlabeled_audio.batch import dense
from unlabeled_audio.ops.frontends import next_power

LOBES = 8  # of the window's transform to either side: beyond, it is below 6e-4 of its middle
LONGEST = 2**15  # samples of a window at most
CLIPS = 8  # that are transformed at once


def windows_of(rate: int, low: float, bins: int, octave: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequency in Hz and window in samples of each tone."""
    quality = 1.0 / (2.0 ** (1.0 / octave) - 1.0)
    frequency = low * 2.0 ** (np.arange(bins) / octave)
    return frequency, np.minimum(np.ceil(quality * rate / frequency), LONGEST).astype(int)


def hann_transform(theta_K: np.ndarray, samples: int) -> np.ndarray:
    """The transform, real as it is centered, of a Hann window with ``samples`` above 0, at radians a sample."""
    n, turn = samples + 1, 2 * np.pi / (samples + 1)
    found = np.zeros(len(theta_K), dtype=np.complex128)
    for shift, weight in ((0.0, 0.5), (turn, -0.25), (-turn, -0.25)):
        half = (theta_K - shift) / 2
        flat = np.abs(np.sin(half)) < 1e-12
        ratio = np.where(flat, n, np.sin(n * half) / np.where(flat, 1.0, np.sin(half)))
        found += weight * np.exp(1j * (theta_K * n / 2 - half * (n - 1))) * ratio
    real: np.ndarray = found.real
    return real


@lru_cache(maxsize=16)
def bands_of(points: int, rate: int, low: float, bins: int, octave: int) -> tuple[tuple[int, Tensor], ...]:
    """First frequency of each tone's band among those of ``points``, and the weights ``[K]`` from there on."""
    found = []
    for frequency, samples in zip(*windows_of(rate, low, bins, octave), strict=True):
        middle, reach = frequency / rate * points, LOBES * points / samples
        first, last = max(0, int(middle - reach)), min(points // 2, int(middle + reach) + 1)
        theta = 2 * np.pi * (np.arange(first, last + 1) / points - frequency / rate)
        found.append((first, torch.from_numpy(hann_transform(theta, samples) / (samples * points)).float()))
    return tuple(found)


def constant_q(
    wave: Tensor,
    lengths: Sequence[int],
    rows: Sequence[int],
    first: int,
    stride: int,
    rate: int,
    low: float,
    bins: int,
    octave: int,
) -> Tensor:
    """``[T, bins]``: magnitude of tones from ``low`` Hz up, ``octave`` an octave, around the middle of each row.

    Clip b has ``rows[b]`` rows, with middles at sample ``first`` and each ``stride`` on; outside of it all is silent.
    """
    if low * 2.0 ** ((bins - 1) / octave) >= rate / 2:
        raise ValueError(f"{bins} bins from {low} Hz up, {octave} an octave, pass half the rate of {rate} Hz")
    longest = int(windows_of(rate, low, bins, octave)[1].max())
    count = next_power(-(-(max(lengths) + first + longest) // stride))
    bands = bands_of(count * stride, rate, low, bins, octave)
    weights = send([w for _, w in bands], wave.device)
    turn = torch.arange(count * stride // 2 + 1, device=wave.device) * (2 * torch.pi * first / (count * stride))
    out = []
    for part in dense(wave.float(), lengths).split(CLIPS):
        spectrum = torch.fft.rfft(part, count * stride) * torch.polar(torch.ones_like(turn), turn)
        at = [_folded(spectrum, begin, w, count) for (begin, _), w in zip(bands, weights, strict=True)]
        out.append(torch.fft.ifft(torch.stack(at, 1), norm="forward").abs().transpose(1, 2))
    return torch.cat([x[:n] for x, n in zip(torch.cat(out), rows, strict=True)])


def _folded(spectrum_BL: Tensor, begin: int, weights_K: Tensor, count: int) -> Tensor:
    """``[B, P]``: a band under its weights, frequencies that ``count`` rows cannot tell apart added up."""
    band = spectrum_BL[:, begin : begin + len(weights_K)] * weights_K
    before = begin % count
    band = F.pad(band, (before, -(before + len(weights_K)) % count))
    return band.unflatten(1, (-1, count)).sum(1)
