"""Units filled in, the surest first; sound from log-mel frames; and both of a run, as a command."""

import math

import soundfile
import torch

from unlabeled.api import pretrain
from unlabeled.cli import main
from unlabeled.contract import Layout, Rows
from unlabeled.draw import Draw
from unlabeled_audio.data.syllables import Syllables
from unlabeled_audio.ops.frontends import log_mel
from unlabeled_audio.ops.generation import fill_in, sound_of

LAYOUT = Layout((12, 4), torch.zeros(16, 1))
HIDDEN = Rows(torch.tensor([*range(2, 12), 13, 14]), (10, 2))


def test_the_surest_stay_and_the_rest_is_hidden_again_by_a_cosine():
    truth, sure, seen = torch.arange(16) % 5, torch.linspace(1, 4, 16), []

    def score(ids, rows):
        seen.append(rows)
        return 5.0 * sure[rows.index, None] * torch.nn.functional.one_hot(truth[rows.index], 5)

    start = torch.where(HIDDEN.flags(16), 0, truth)
    found = fill_in(score, start, HIDDEN, LAYOUT, Draw(0, 0, torch.arange(2)), steps=4, temperature=0.0)
    assert torch.equal(found, truth)
    assert [rows.lengths for rows in seen] == [
        tuple(int(n * math.cos(math.pi / 2 * k / 4)) for n in (10, 2)) for k in range(4)
    ]
    # sureness rises with the place, so that the first of each clip are hidden again
    assert seen[1].index.tolist() == [*range(2, 11), 13]
    assert seen[3].index.tolist() == [2, 3, 4]


def test_what_is_visible_stays_and_what_is_drawn_is_the_samples_own():
    def score(ids, rows):
        return torch.zeros(len(rows), 50)

    ids, draw = torch.full((16,), 7), Draw(0, 0, torch.arange(2))
    found = fill_in(score, ids, HIDDEN, LAYOUT, draw, steps=3)
    assert torch.equal(found[~HIDDEN.flags(16)], ids[~HIDDEN.flags(16)])
    assert len(found[HIDDEN.index].unique()) > 4
    assert torch.equal(found, fill_in(score, ids, HIDDEN, LAYOUT, draw, steps=3))
    alone = fill_in(score, ids[12:], Rows(torch.tensor([1, 2]), (2,)), Layout((4,), torch.zeros(4, 1)),
                    Draw(0, 0, torch.tensor([1])), steps=3)  # fmt: skip
    assert torch.equal(alone, found[12:])


def test_sound_has_the_frames_that_it_is_made_of():
    data = Syllables(None, count=60)
    batch = data.__getitems__([3])
    wave = batch.wave / batch.wave.std()
    frames = log_mel(wave, (len(wave),), 8000, 280, 160, 40)
    made = sound_of(frames, 8000, 280, 160)
    again = log_mel(made, (len(made),), 8000, 280, 160, 40)
    assert again.shape == frames.shape
    assert (again - frames).abs().mean() < 0.25
    assert (frames - frames.mean(0)).abs().mean() > 0.5


def test_generate_writes_sounds_and_says_how_near_they_come(tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "sounds"
    encoder = {"name": "units", "width": 16, "depth": 1, "heads": 2, "count": 20}
    pretrain("audio", recipe="metis", out=run, say=str, encoder=encoder, data="syllables", steps=2, batch_size=8)
    assert main(["audio", "generate", str(run), "--out", str(out), "--clips", "2", "--steps", "3"]) == 0
    assert "hidden units right" in capsys.readouterr().out
    held = Syllables(None).test.nonzero()[:2, 0].tolist()
    assert sorted(path.name for path in out.iterdir()) == sorted(f"{n}{k}.wav" for n in held for k in ("", "-given"))
    assert soundfile.info(out / f"{held[0]}.wav").samplerate == 8000
    assert main(["audio", "generate", str(run), "--out", str(out), "--share", "1.5"]) == 2


def test_only_units_of_log_mel_frames_can_be_heard(tmp_path, capsys):
    run = tmp_path / "run"
    pretrain("audio", recipe="simclr", out=run, say=str, data="syllables", steps=1, batch_size=8,
             encoder={"name": "cnn", "width": 16, "depth": 1})  # fmt: skip
    assert main(["audio", "generate", str(run), "--out", str(tmp_path / "x")]) == 2
    assert "has no units of log-mel frames" in capsys.readouterr().err
