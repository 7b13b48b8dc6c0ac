"""Native export: another process, which cannot import this project, gets what ``embed`` gives, from the files on."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unlabeled.cli.main import main
from unlabeled.testing.bare import embed_alone
from unlabeled_vision.batch import ImageSpec
from unlabeled_vision.encoders.timm import ViT
from unlabeled_vision.export.native import native

SPEC = ImageSpec(1, 32)
ENCODERS = {
    "vit": (1, {"width": 32, "depth": 2, "heads": 2, "registers": 1, "patch": 8}),
    "timm/vit_tiny_patch16_224": (3, {"patch": 16}),
    "timm/regnetx_002": (3, {}),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Files of many kinds: of other sizes and sides, turned by EXIF, with alpha, gray, of 16 bits, large."""
    folder, chance = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)

    def photo(height, width, channels=3):
        smooth = chance.integers(0, 255, (6, 6, channels), dtype=np.uint8)
        return Image.fromarray(smooth.squeeze()).resize((width, height), Image.Resampling.BICUBIC)

    photo(40, 61).save(folder / "a.png")
    photo(400, 333).save(folder / "b.jpg")  # reduced in the decoder
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(50, 90).save(folder / "c.jpg", exif=exif)
    photo(33, 48, 4).save(folder / "d.png")
    photo(70, 31, 1).save(folder / "e.png")
    Image.fromarray(np.asarray(photo(64, 64, 1)).astype(np.uint16) * 200).save(folder / "f.png")
    photo(40, 40).convert("CMYK").save(folder / "g.tif")
    return folder


def pretrain(photos, encoder, **settings):
    words = {"encoder": encoder, "data": photos, "epochs": 0, "batch-size": 4, "out": "run", **settings}
    flags = [word for name, value in words.items() for word in (f"--{name}", str(value))]
    assert main(["vision", "pretrain", "simclr", *flags, "--no-tensorboard"]) == 0


@pytest.mark.parametrize("name", ENCODERS)
def test_files_give_what_embed_gives(photos, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    channels, encoder = ENCODERS[name]
    settings = {f"encoder.{key}": value for key, value in encoder.items()}
    pretrain(photos, name, **settings, **{"data.size": 32, "data.channels": channels, "data.white": 51000})
    assert main(["vision", "export", "run"]) == 0
    assert main(["vision", "embed", "run", "--data", str(photos), "--out", "f.npz"]) == 0
    expected = np.load("f.npz")
    found = embed_alone(Path("run/export-native"), [str(photos / str(name)) for name in expected["path"]])
    torch.testing.assert_close(found, torch.from_numpy(expected["x"]), rtol=1e-5, atol=1e-5)


def test_the_page_and_the_settings_name_each_step(tmp_path):
    code = native(ViT(SPEC, width=32, depth=1, heads=2), SPEC, tmp_path / "out")
    assert "mean [0.5] and std [0.25]" in code
    assert "float32[N, 1, 32, 32]" in code
    found = json.loads((tmp_path / "out" / "preprocess.json").read_text())
    assert (found["filter"], found["antialias"], found["enlarge"]) == ("bilinear", True, 1.0)
    page = (tmp_path / "out" / "README.md").read_text()
    assert code.replace(repr(str(tmp_path / "out")), "'.'  # of these files") in page
