"""Views: what each does to a clip, on its own and in any batch."""

import math

import pytest
import torch

from unlabeled.draw import Draw
from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.data.syllables import Syllables
from unlabeled_audio.ops.frontends import spectrogram
from unlabeled_audio.views import augment
from unlabeled_audio.views.augment import colored, cuts, in_room, mixed, move_pitch, noise, paced, shifted, take
from unlabeled_audio.views.spectral import ATST, Aligned, Clones, MelAugment, log_mix, resize, stripes
from unlabeled_audio.views.standard import Clean, Mixed, Paired, Plain, Wave

RATE = 8000


@pytest.fixture(scope="module")
def data():
    found = Syllables(None)
    found.bring(("partner",))
    return found


@pytest.fixture
def batch(data):
    return data.__getitems__([3, 70, 141, 500])


def drawn(batch, epoch=0):
    return Draw(5, epoch, batch.ids)


def tone(pitch, samples):
    return torch.sin(2 * math.pi * pitch / RATE * torch.arange(samples))


def peak(x):
    return float(torch.fft.rfft(x * torch.hann_window(len(x)), 1 << 16).abs().argmax()) * RATE / (1 << 16)


def test_noise_has_deviation_1_and_is_white_to_brown():
    draw = Draw(0, 0, torch.arange(64))
    x = noise(draw, 13, 4096)
    assert x.std().item() == pytest.approx(1.0, abs=0.01)
    assert x.mean().item() == pytest.approx(0.0, abs=0.01)
    y = colored(draw, 4096)
    torch.testing.assert_close(y.std(1), torch.ones(64), rtol=1e-4, atol=0)
    low = torch.fft.rfft(y).abs()[:, 1:200].square().sum(1) / torch.fft.rfft(y).abs().square().sum(1)
    assert float(low.min()) < 0.2
    assert float(low.max()) > 0.9


@pytest.mark.parametrize("factor", [2 ** (4 / 12), 1.0, 2 ** (-4 / 12)])
def test_pitch_moves_and_length_stays(factor):
    x = tone(440.0, 4096)[None]
    moved = move_pitch(x, torch.tensor([factor]), factor)[0]
    assert moved.shape == (4096,)
    assert peak(moved[1000:3000]) == pytest.approx(440 * factor, rel=0.01)


def test_a_room_of_one_impulse_changes_nothing():
    x = torch.randn(2, 500, generator=torch.Generator().manual_seed(0))
    impulse = torch.zeros(2, 50)
    impulse[:, 0] = 1
    torch.testing.assert_close(in_room(x, impulse), x, rtol=0, atol=1e-5)


def test_reverb_rings_on_and_dies_away():
    draw = Draw(0, 0, torch.arange(4))
    answer = augment.room(draw, torch.full((4,), 0.2), 1600, RATE)
    assert torch.equal(answer[:, 0], torch.ones(4))
    assert float(answer[:, 1500:].abs().max()) < 0.02 * float(answer[:, 1:100].abs().max())


def test_crops_lie_in_the_clip(batch):
    sizes, first = cuts(batch.lengths, drawn(batch), (0.5, 0.8), 100000, 1)
    cut = take(batch, first, sizes)
    for whole, part, begin in zip(batch.clips(), cut.clips(), first.tolist(), strict=True):
        assert 0.49 * len(whole) <= len(part) <= 0.81 * len(whole)
        assert torch.equal(part, whole[begin : begin + len(part)])


def test_shift_turns_a_clip_around(batch):
    by = torch.tensor([3 * number for number in range(len(batch))])
    wave = shifted(batch.wave, batch.lengths, by)
    for old, new, step in zip(batch.clips(), wave.split(batch.lengths), by.tolist(), strict=True):
        assert torch.equal(new, old.roll(step))


def test_noise_has_the_level_that_is_asked_for(batch):
    spec = AudioSpec(RATE, seconds=0.64, mels=40)
    alone = Wave(spec, count=1, scale=(1, 1), gain=0, polarity=0, noise=0, pitch=0, reverb=0)
    noisy = Wave(spec, count=1, scale=(1, 1), gain=0, polarity=0, noise=1, snr=(10, 10), pitch=0, reverb=0)
    clean, loud = (v(batch, drawn(batch))[0].batch for v in (alone, noisy))
    for a, b in zip(clean.clips(), loud.clips(), strict=True):
        share = float((a * b).mean())  # both have deviation 1: the correlation tells the ratio
        assert 10 * math.log10(share**2 / (1 - share**2)) == pytest.approx(10.0, abs=1.5)


def test_gain_and_polarity_are_as_the_parameters_say(batch):
    spec = AudioSpec(RATE, seconds=0.64, mels=40)
    settings = {"count": 1, "scale": (1, 1), "noise": 0, "pitch": 0, "reverb": 0}
    plain = Wave(spec, gain=0, polarity=0, **settings)(batch, drawn(batch))[0].batch
    view = Wave(spec, gain=6, polarity=0.5, **settings)(batch, drawn(batch))[0]
    for a, b, gain, sign in zip(
        plain.clips(), view.batch.clips(), view.params["gain"], view.params["polarity"], strict=True
    ):
        torch.testing.assert_close(b, sign * 10 ** (gain / 20) * a, rtol=1e-4, atol=1e-4)
    assert -6 <= float(view.params["gain"].min()) <= float(view.params["gain"].max()) <= 6


def test_a_mixture_keeps_its_clean_target(batch):
    view = Mixed(AudioSpec(RATE, seconds=0.64, mels=40), p=1.0, most=0.5)(batch, drawn(batch))[0]
    assert view.params["mixed"].all()
    clean = Plain(AudioSpec(RATE, seconds=0.64, mels=40))(batch, drawn(batch))[0].batch
    torch.testing.assert_close(view.batch.target, clean.wave, rtol=2e-3, atol=1e-3)
    assert view.batch.source is view.batch.target
    changed = [
        float((a - b * a.norm() / b.norm()).abs().max())
        for a, b in zip(view.batch.target.split(clean.lengths), view.batch.clips(), strict=True)
    ]
    assert min(changed) > 0.01
    same, chosen = mixed(batch, drawn(batch), 0.0, torch.zeros(len(batch), 2), 0.5)
    assert not chosen.any()
    torch.testing.assert_close(same.wave, same.target, rtol=2e-3, atol=1e-3)


def test_a_mixture_may_be_with_noise(batch):
    spec = AudioSpec(RATE, seconds=0.64, mels=40)
    mix = Mixed(spec, p=1.0, noise=1.0, snr=(10.0, 10.0))
    together = mix(batch, drawn(batch))[0].batch
    for heard, clean in zip(together.clips(), together.target.split(together.lengths), strict=True):
        a = heard / heard.std()
        left = a - clean * (a @ clean) / (clean @ clean)
        assert 0.0 < float(left.square().mean()) < 0.12, "10 dB below the clip, for half of it at most"
    alone = mix(batch[1:2], drawn(batch[1:2]))[0].batch
    torch.testing.assert_close(alone.wave, together.clips()[1], rtol=1e-4, atol=1e-4)


def test_a_pair_has_the_same_crop(batch):
    source, altered = Paired(AudioSpec(RATE, seconds=0.3, mels=40))(batch, drawn(batch))
    assert (source.role, altered.role) == ("source", "altered")
    assert torch.equal(source.params["crop"], altered.params["crop"])
    assert source.params["pace"].eq(1).all()
    pace = altered.params["pace"]
    expected = [int(n * f) for n, f in zip(source.batch.lengths, pace.tolist(), strict=True)]
    assert list(altered.batch.lengths) == expected
    assert max(altered.batch.lengths) <= 0.3 * RATE
    assert pace.ne(1).any()
    assert pace.eq(1).any()
    still = Paired(AudioSpec(RATE, seconds=0.3, mels=40), stretch=0.0)(batch, drawn(batch))
    assert still[0].batch.lengths == still[1].batch.lengths


@pytest.mark.parametrize("pace", [0.8, 1.25])
def test_a_stretched_clip_lasts_longer_at_its_own_pitch_and_in_any_batch(pace):
    lengths = (4000, 3001)
    both = AudioBatch(torch.tensor([4, 9]), torch.cat([tone(440, 4000), tone(700, 3001)]), lengths)
    made, factor = paced(both, drawn(both), 1.0, (pace, pace), 4000)
    assert made.lengths == tuple(int(n * f) for n, f in zip(lengths, factor.tolist(), strict=True))
    for clip, pitch in zip(made.clips(), (440, 700), strict=True):
        assert peak(clip[500:-500]) == pytest.approx(pitch, rel=0.01)
        assert clip[500:-500].square().mean() == pytest.approx(0.5, abs=0.1)
    alone, _ = paced(both[1:], drawn(both[1:]), 1.0, (pace, pace), 4000)
    torch.testing.assert_close(alone.wave, made.clips()[1], rtol=0, atol=1e-4)


def test_the_clean_view_of_a_long_clip_is_its_middle():
    long = AudioBatch(torch.tensor([0]), torch.arange(8000.0), (8000,))
    view = Clean(AudioSpec(RATE, seconds=0.25))(long, drawn(long))[0]
    assert view.batch.lengths == (2000,)
    assert view.params["crop"].tolist() == [[3000, 2000]]


def test_mixing_in_log_mel_adds_power():
    a, b = torch.tensor([0.0, 1.0]), torch.tensor([2.0, -40.0])
    found = log_mix(a, b, torch.tensor([0.25, 0.25]))
    torch.testing.assert_close(found.exp(), 0.75 * a.exp() + 0.25 * b.exp())


def test_a_whole_box_changes_nothing_and_half_a_box_doubles():
    mel = torch.arange(6.0)[:, None].expand(6, 4).clone()
    torch.testing.assert_close(resize(mel, (6,), torch.tensor([[0.0, 6.0, 0.0, 4.0]])), mel)
    half = resize(mel, (6,), torch.tensor([[0.0, 3.0, 0.0, 4.0]]))
    torch.testing.assert_close(half[2:, 0], torch.tensor([0.75, 1.25, 1.75, 2.25]))


def test_stripes_are_no_wider_than_asked():
    mel = torch.ones(40, 20)
    hidden = stripes(mel, (30, 10), Draw(0, 0, torch.arange(2)), 1, 0.5, time=True) == 0
    rows = hidden.all(1)
    assert torch.equal(hidden.any(1), rows)
    assert int(rows[:30].sum()) <= 15
    bands = stripes(mel, (30, 10), Draw(1, 0, torch.arange(2)), 2, 0.3, time=False) == 0
    assert torch.equal(bands[:30].any(0), bands[:30].all(0))


@pytest.mark.parametrize("kind", [ATST, Aligned])
def test_spectral_views_carry_their_spectrogram(batch, kind):
    spec = AudioSpec(RATE, seconds=0.64, mels=40)
    views = kind(spec)(batch, drawn(batch))
    for view in views:
        assert view.batch.mel.shape == (sum(spec.frames(n) for n in view.batch.lengths), 40)
        assert view.batch.partner is None
        part = view.batch[1:2]
        assert part.mel.shape[0] == spec.frames(part.lengths[0])
    if kind is Aligned:
        assert views[0].batch.lengths == views[1].batch.lengths
        assert torch.equal(views[0].params["resize"][:, :2], views[1].params["resize"][:, :2])
        assert not torch.equal(views[0].batch.mel, views[1].batch.mel)


def test_without_strength_spectral_views_are_the_spectrogram(batch):
    spec = AudioSpec(RATE, seconds=0.64, mels=40)
    view = ATST(spec, count=1, scale=(1, 1), mix=0.0, time=(1, 1), bands=(1, 1), gain=0)(batch, drawn(batch))[0]
    expected = spectrogram(view.batch.wave, view.batch.lengths, spec)
    torch.testing.assert_close(view.batch.mel, expected, rtol=0, atol=1e-5)


def test_clones_are_one_crop(batch):
    views = Clones(AudioSpec(RATE, seconds=0.64, mels=40), count=3)(batch, drawn(batch))
    assert len(views) == 3
    assert all(view.batch is views[0].batch for view in views)


def test_an_augment_of_no_strength_is_frozen():
    with pytest.raises(ValueError, match="most_time is 2"):
        MelAugment(AudioSpec(RATE), most_time=2.0)
