"""Exports carry their front end: from files on, a process without this project gives what ``embed`` gives."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from unlabeled.cli.main import main
from unlabeled.testing.bare import embed_alone

ENCODERS = {
    "vit": ("native", {"width": 32, "depth": 1, "heads": 2}),
    "cnn": ("native", {"width": 16, "depth": 1}),
    "wav2vec2": ("torchaudio", {"width": 32, "depth": 1, "heads": 2, "channels": 16, "positions": 8}),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Files of other rates, channels and lengths: two channels, two that cancel, a long recording, a short clip."""
    folder, chance = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)

    def noise(samples, channels=1):
        return 0.1 * np.cumsum(chance.standard_normal((samples, channels)), 0) / 30 + 0.05

    soundfile.write(folder / "a.wav", noise(8000), 8000)
    soundfile.write(folder / "b.flac", noise(22050, 2), 22050)
    left = noise(8000)
    soundfile.write(folder / "c.wav", np.concatenate((left, -left), 1), 8000)
    soundfile.write(folder / "d.wav", noise(24001), 8000)
    soundfile.write(folder / "e.wav", noise(1001), 8000)
    soundfile.write(folder / "f.wav", noise(8800), 8000)
    return folder


@pytest.mark.parametrize(("name", "front"), [*((name, "logmel") for name in ENCODERS), ("vit", "fbank")])
def test_files_give_what_embed_gives(clips, name, front, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    to, encoder = ENCODERS[name]
    words = {
        "encoder": name,
        "data": clips,
        "data.front": front,
        "data.segment": 2,
        "views": "wave",
        "data.seconds": 1,
        "epochs": 0,
    }
    words |= {"batch-size": 4, "out": "run", **{f"encoder.{key}": value for key, value in encoder.items()}}
    flags = [word for key, value in words.items() for word in (f"--{key}", str(value))]
    assert main(["audio", "pretrain", "simclr", *flags, "--no-tensorboard"]) == 0
    assert main(["audio", "export", "run", "--to", to, "--out", "there"]) == 0
    assert main(["audio", "embed", "run", "--data", str(clips), "--out", "f.npz"]) == 0
    expected = torch.from_numpy(np.load("f.npz")["x"])
    assert len(expected) == 7, "the long recording is two samples"
    found = embed_alone(Path("there"), [str(path) for path in sorted(clips.iterdir())])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
