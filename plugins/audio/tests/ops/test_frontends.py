"""Spectrograms equal torchaudio's (2.11), frame by frame, and do not depend on neighbors."""

import pytest
import torch
import torchaudio

from unlabeled_audio.batch import AudioSpec, dense, pack, standardize
from unlabeled_audio.ops import frontends
from unlabeled_audio.ops.frontends import deltas, kaldi_fbank, log_mel, mel_power, mfcc, spectrogram

RATE = 16000


@pytest.fixture
def clips():
    lengths = (8000, 400, 5123)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(sum(lengths), generator=generator), lengths


def test_mel_power_equals_torchaudio(clips):
    wave, lengths = clips
    ours = mel_power(wave, lengths, RATE, 512, 160, 40)
    theirs = torchaudio.transforms.MelSpectrogram(RATE, 512, 512, 160, n_mels=40, center=False)
    weights = theirs.mel_scale.fb.sum(0)  # ours sum to 1, and so do the squares of our window
    padded = [torch.nn.functional.pad(w, (0, max(0, 512 - len(w)))) for w in wave.split(lengths)]
    expected = torch.cat([theirs(w).T / weights / torch.hann_window(512).square().sum() for w in padded])
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_fbank_equals_kaldi_by_torchaudio(clips):
    wave, lengths = clips
    ours = kaldi_fbank(wave, lengths, RATE, 400, 160, 80)
    expected = [
        torchaudio.compliance.kaldi.fbank(w[None], num_mel_bins=80, sample_frequency=RATE, dither=0.0)
        for w in wave.split(lengths)
    ]
    torch.testing.assert_close(ours, torch.cat(expected), rtol=1e-4, atol=1e-3)


def test_mfcc_is_the_cosine_transform(clips):
    wave, lengths = clips
    mel = log_mel(wave, lengths, RATE, 400, 160, 40)
    basis = torchaudio.functional.create_dct(13, 40, "ortho")
    torch.testing.assert_close(mfcc(mel, 13), mel @ basis, rtol=1e-5, atol=1e-5)


def test_deltas_equal_torchaudio_within_each_clip():
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    parts = [torchaudio.functional.compute_deltas(p.T[None], 5)[0].T for p in x.split((12, 8))]
    torch.testing.assert_close(deltas(x, (12, 8)), torch.cat(parts), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("front", ["logmel", "fbank"])
def test_a_clip_is_the_same_alone(clips, front):
    wave, lengths = clips
    spec = AudioSpec(RATE, front=front)
    together = spectrogram(wave, lengths, spec).split([spec.frames(n) for n in lengths])
    for number, clip in enumerate(wave.split(lengths)):
        torch.testing.assert_close(spectrogram(clip, (len(clip),), spec), together[number], rtol=1e-6, atol=1e-6)


def test_a_clip_shorter_than_a_window_has_one_frame():
    spec = AudioSpec(RATE)
    wave = torch.randn(100, generator=torch.Generator().manual_seed(2))
    neighbor = torch.randn(900, generator=torch.Generator().manual_seed(3))
    alone = spectrogram(wave, (100,), spec)
    assert alone.shape == (1, 64)
    torch.testing.assert_close(spectrogram(torch.cat((wave, neighbor)), (100, 900), spec)[:1], alone)


def test_white_noise_has_power_one():
    wave = torch.randn(RATE * 4, generator=torch.Generator().manual_seed(4))
    for window in (200, 400, 1024):
        power = mel_power(wave, (len(wave),), RATE, window, window // 2, 32)
        assert power.mean().item() == pytest.approx(1.0, abs=0.06)


def test_every_mel_filter_has_a_frequency():
    for rate, window, mels in ((8000, 200, 80), (16000, 400, 128), (4000, 64, 64)):
        _, filters = frontends.mel_filters(rate, window, mels)
        torch.testing.assert_close(filters.sum(0), torch.ones(mels))


def test_dense_and_pack_are_inverse(clips):
    wave, lengths = clips
    laid = dense(wave, lengths)
    assert laid.shape == (3, 8000)
    assert float(laid[1, 400:].abs().max()) == 0.0
    assert torch.equal(pack(laid, lengths), wave)


def test_standardized_clips_have_mean_0_and_deviation_1(clips):
    wave, lengths = clips
    for part in standardize(7 * wave + 3, lengths).split(lengths):
        assert part.mean().item() == pytest.approx(0.0, abs=1e-5)
        assert part.std(correction=0).item() == pytest.approx(1.0, abs=1e-4)


def test_specs_say_what_is_wrong():
    for settings, match in (
        ({"rate": 500}, "at least 1000"),
        ({"rate": 8000, "hop": 0.03}, "up to the window"),
        ({"rate": 8000, "seconds": 0.01}, "at least a window"),
        ({"rate": 8000, "front": "stft"}, "logmel or fbank"),
        ({"rate": 8000, "mels": 1}, "at least 2"),
    ):
        with pytest.raises(ValueError, match=match):
            AudioSpec(**settings)


@pytest.mark.parametrize("front", ["logmel", "fbank"])
def test_a_spectrogram_some_frames_at_a_time_is_the_same_to_the_bit(front, monkeypatch):
    spec, lengths = AudioSpec(8000, 1.0, 20, front=front), (4000, 100, 3001, 250)
    wave = torch.randn(sum(lengths), generator=torch.Generator().manual_seed(0))
    whole, sizes = spectrogram(wave, lengths, spec), []
    original = frontends.power
    monkeypatch.setattr(frontends, "power", lambda x, size: sizes.append(len(x)) or original(x, size))
    monkeypatch.setattr(frontends, "FRAMES", 30)
    assert torch.equal(spectrogram(wave, lengths, spec), whole)
    assert max(sizes) == 30
