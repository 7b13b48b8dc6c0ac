"""Constant-Q spectrogram: tones through their windows, written out; the same beside any neighbor."""

import math

import numpy as np
import pytest
import torch

from unlabeled_audio.ops.constant_q import constant_q

RATE = 8000


def test_it_is_the_tones_under_their_windows_written_out():
    generator = torch.Generator().manual_seed(0)
    lengths, rows, first, stride, low, bins, octave = (9000, 2500), (50, 14), 200, 160, 65.4, 200, 48
    wave = torch.randn(sum(lengths), generator=generator)
    found = constant_q(wave, lengths, rows, first, stride, RATE, low, bins, octave).split(rows)
    quality = 1 / (2 ** (1 / octave) - 1)
    for clip, made in zip(wave.double().split(lengths), found, strict=True):
        for k in (0, 1, 77, 150, 199):
            frequency = low * 2 ** (k / octave)
            n = math.ceil(quality * RATE / frequency)
            time = torch.arange(1, n + 1) - (n + 1) / 2
            window = torch.from_numpy(np.hanning(n + 2)[1:-1]) / n
            for row in (0, 7, len(made) - 1):
                # a window of an even number of samples has its middle between two of them: theirs is off by a half
                here = first + stride * row + torch.floor(time)
                x = torch.where((here >= 0) & (here < len(clip)), clip[here.long().clamp(0, len(clip) - 1)], 0.0)
                turn = 2 * math.pi * frequency / RATE * time
                expected = torch.hypot((x * window * turn.cos()).sum(), (x * window * turn.sin()).sum())
                assert made[row, k].item() == pytest.approx(expected.item(), abs=0.05 * made[:, k].mean().item())


def test_it_finds_the_tone():
    time = torch.arange(RATE) / RATE
    bins = torch.tensor([20, 45])
    wave = torch.cat([torch.sin(2 * math.pi * 110 * 2 ** (k / 12) * time) for k in bins.tolist()])
    found = constant_q(wave, (RATE, RATE), (2, 1), RATE // 2, 100, RATE, 110.0, 60, 12)
    assert found.argmax(1).tolist() == [20, 20, 45]
    torch.testing.assert_close(found.amax(1), torch.full((3,), 0.25), rtol=0.02, atol=0.0)


def test_a_clip_is_the_same_alone():
    wave = torch.randn(12000, generator=torch.Generator().manual_seed(1))
    both = constant_q(wave, (9000, 3000), (50, 14), 200, 160, RATE, 65.4, 200, 48)
    alone = constant_q(wave[9000:], (3000,), (14,), 200, 160, RATE, 65.4, 200, 48)
    torch.testing.assert_close(alone, both[50:], rtol=1e-3, atol=1e-4)


def test_tones_above_half_the_rate_are_refused():
    with pytest.raises(ValueError, match="pass half the rate"):
        constant_q(torch.zeros(100), (100,), (1,), 50, 10, 8000, 110.0, 90, 12)
