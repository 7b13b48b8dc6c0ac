"""Features without a model, against their definitions."""

import torch

from unlabeled.contract import View
from unlabeled_audio.baselines import LogMelSegments, LogMelStatistics, MFCCStatistics, segments
from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.ops.frontends import mfcc, spectrogram

SPEC = AudioSpec(8000, 1.0, 40)


def view(*lengths):
    torch.manual_seed(0)
    waves = [torch.randn(n) for n in lengths]
    return View(AudioBatch(torch.arange(len(waves)), torch.cat(waves), lengths), "clean")


def test_statistics_are_mean_and_deviation_over_frames():
    both = view(4000, 2000)
    for clip, wave in enumerate(both.batch.clips()):
        frames = spectrogram(wave, (len(wave),), SPEC)
        expected = torch.cat((frames.mean(0), frames.std(0, correction=0)))
        torch.testing.assert_close(LogMelStatistics(SPEC)(both)[clip], expected)
        cepstra = mfcc(frames, 20)
        expected = torch.cat((cepstra.mean(0), cepstra.std(0, correction=0)))
        torch.testing.assert_close(MFCCStatistics(SPEC)(both)[clip], expected)


def test_segments_are_means_of_equal_parts():
    x = torch.arange(16.0).reshape(16, 1)
    assert segments(x, (8, 8), 4).tolist() == [[0.5, 2.5, 4.5, 6.5], [8.5, 10.5, 12.5, 14.5]]
    assert LogMelSegments(SPEC)(view(4000, 100)).shape == (2, 320)
    assert LogMelSegments(SPEC)(view(100)).isfinite().all()
