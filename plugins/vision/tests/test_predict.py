"""From a folder of images to predictions: pretrain, finetune with LoRA, predict on a folder with a broken file."""

import csv

import numpy as np
from PIL import Image

import unlabeled
from unlabeled.cli import main


def images(folder, names, count):
    rng = np.random.default_rng(0)
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 60, (16, 16, 3)) + 150 * number
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")


def test_tuned_by_lora_and_exported(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "photos", ("dark", "light"), 10)
    small = {"name": "vit", "width": 16, "depth": 2, "heads": 2, "patch": 8}
    unlabeled.pretrain(
        "vision", recipe="simclr", data="photos", out="run", epochs=0, batch_size=4, encoder=small, tensorboard=False,
        say=lambda line: None,
    )  # fmt: skip
    words = ["--epochs", "5", "--batch-size", "4", "--lr", "0.01", "--lora.rank", "2", "--patience", "4"]
    assert main(["vision", "finetune", "run", "--data", "photos", "--out", "tuned", *words]) == 0
    (tmp_path / "photos" / "dark" / "broken.png").write_bytes(b"no image")
    capsys.readouterr()
    words = ["--data", "photos", "--out", "p.csv", "--max-bad", "0.5"]
    assert main(["vision", "predict", "tuned", *words]) == 0
    assert "broken.png" in capsys.readouterr().err
    rows = {row["path"]: row for row in csv.DictReader((tmp_path / "p.csv").read_text().splitlines())}
    assert len(rows) == 21
    assert rows["light/0.png"]["predicted"] in ("dark", "light")
    assert float(rows["light/0.png"]["p_dark"]) + float(rows["light/0.png"]["p_light"]) > 0.999
    broken = rows["dark/broken.png"]
    assert (broken["predicted"], broken["p_dark"]) == ("", "")
    assert broken["bad"]
    assert main(["vision", "export", "tuned"]) == 0
