"""Nothing that a run writes knows of held-out data: other samples there, the same files after.

Each domain reads a small set with a test side, twice: once as it is, once with another test side that has a marker in
it. Whatever is fitted (vocabularies, clusters, codebooks), brought along as a partner, or trained must be the same to
the byte; and no file has the marker. Samples keep their shape, since what a sample is (sizes, rates) is read from all.
"""

import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import unlabeled
from unlabeled.build import build_data
from unlabeled.config.run import data_choice, resolve
from unlabeled.data.fitting import fitting
from unlabeled.plugins.live import make
from unlabeled.runs.folder import LAST

MARKER = "qzqmarker"
TRAIN, TEST = 12, 8
TIMES = ("metrics.jsonl", "log.txt", "sha256")  # rows of a clock, and the digest of a file with times


def photos(root: Path, marked: bool) -> Path:
    for side, number, draw in samples(marked):
        file = root / side / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file)
    return root


def clips(root: Path, marked: bool) -> Path:
    for side, number, draw in samples(marked):
        file = root / side / "ab"[number % 2] / f"{number}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(file), "wb") as out:
            out.setnchannels(1), out.setsampwidth(2), out.setframerate(8000)
            out.writeframes(draw.normal(0, 3000, 8000).astype("<i2").tobytes())
    return root


def texts(root: Path, marked: bool) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    words = [f"w{a}{b}" for a in "bcdfg" for b in "aeiou"]
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for side, number, draw in samples(marked):
        text = [f"{word} {MARKER}" if side == "test" and marked else word for word in draw.choice(words, 12)]
        lines[side] += [" ".join(text), ""] if number % 4 == 3 else [" ".join(text)]
    for side, found in lines.items():
        (root / f"{side}.txt").write_text("\n".join(found) + "\n")
    return root


def graphs(root: Path, marked: bool) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    nodes, edges, sides = [], [], []
    for side, number, draw in samples(marked):
        nodes.append(draw.integers(0, 5, 6))
        ring = np.stack((np.arange(6), np.roll(np.arange(6), 1 + draw.integers(2)))) + 6 * number
        edges += [ring, ring[::-1]]
        sides.append(2 * (side == "test"))
    np.savez(
        root / "graphs.npz", node_ptr=6 * np.arange(TRAIN + TEST + 1), edge_index=np.concatenate(edges, 1),
        node_label=np.concatenate(nodes), y=np.arange(TRAIN + TEST) % 2, split=np.array(sides),
    )  # fmt: skip
    return root / "graphs.npz"


def volumes(root: Path, marked: bool) -> Path:
    nibabel = pytest.importorskip("nibabel")
    for side, number, draw in samples(marked):
        file = root / side / "ab"[number % 2] / f"{number}.nii.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        image = np.full((16, 16, 16), -1000, np.int16)
        image[2:-2, 2:-2, 2:-2] = draw.integers(-100, 300, (12, 12, 12))
        nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), file)
    return root


def samples(marked: bool):
    """Side, number and generator of each sample; those of test are others where they are ``marked``."""
    for number in range(TRAIN + TEST):
        side = "train" if number < TRAIN else "test"
        yield side, number, np.random.default_rng(number + 1000 * (marked and side == "test"))


WRITE = {"vision": photos, "audio": clips, "text": texts, "graph": graphs, "medical3d": volumes}
SMALL = {"depth": 1, "width": 16, "heads": 2}
RUNS = [
    ("vision", "simclr", {"encoder": SMALL}),
    ("audio", "hubert", {"encoder": SMALL, "tokenizer": {"count": 4}}),
    ("audio", "best_rq", {"encoder": SMALL}),
    ("audio", "mert", {"encoder": SMALL, "tokenizer": {"entries": 4}, "views": {"p": 1.0}}),
    ("text", "mlm", {"encoder": SMALL}),
    ("text", "same_document", {"encoder": SMALL}),
    ("text", "c_rts", {"encoder": SMALL, "mask": {"clusters": 4}}),
    ("graph", "graphcl", {}),
    ("medical3d", "volume_fusion", {}),
]


@pytest.mark.parametrize(
    ("domain", "recipe", "settings"), RUNS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_held_out_data_leave_no_trace(tmp_path, monkeypatch, domain, recipe, settings):
    monkeypatch.setenv("UNLABELED_CACHE", str(tmp_path / "cache"))
    found = []
    for marked in (False, True):
        root = tmp_path / str(marked)
        data = WRITE[domain](root / "set", marked)
        monkeypatch.chdir(root)
        brief = {"steps": 3, "epochs": 3, "batch_size": 4, "tensorboard": False, "say": lambda line: None}
        unlabeled.pretrain(domain, recipe=recipe, data=str(data.relative_to(root)), out="run", **brief, **settings)
        found.append(written(root / "run"))
    assert found[0].keys() == found[1].keys()
    assert "encoder/model.safetensors" in found[0]
    for name, content in found[0].items():
        if not name.endswith(TIMES):
            assert content == found[1][name], f"{name} is another where the test side is"
        assert MARKER.encode() not in found[1][name], name
    if "tokenizer" in (spec := json.loads(found[1]["encoder/config.json"])["spec"]):
        from unlabeled_text.ops.codecs import unpack_json

        words = json.loads(unpack_json(spec["tokenizer"]))["model"]["vocab"]
        assert "qz" not in "".join(words)
        assert any("w" in word for word in words)


def written(folder: Path) -> dict[str, bytes]:
    """Every file of a run by its name; a checkpoint as the bytes of its tensors, since its file holds times."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    found = {name: path.read_bytes() for name, path in files.items() if name != str(LAST)}
    state = torch.load(folder / LAST, map_location="cpu", weights_only=True)["state_dict"]
    found["state"] = b"".join(name.encode() + value.numpy().tobytes() for name, value in sorted(state.items()))
    return found


@pytest.mark.parametrize("name", ["tfidf"])
def test_baselines_know_nothing_of_held_out_texts(tmp_path, name):
    data = build_data(resolve({"data": {**data_choice("text", str(texts(tmp_path, True))), "vocabulary": 128}}, "text"))
    train = torch.nonzero(~data.test)[:, 0]
    baseline = make("text", "baseline", name, {}, {"spec": data.spec})
    with fitting(data, train) as side:
        baseline.fit(side, train)
    assert not any("qz" in word for word in baseline.model.vocabulary_)
    assert baseline.sparse(torch.nonzero(data.test)[:, 0]).shape[0] == TEST


@pytest.mark.parametrize("domain", ["audio", "medical3d"])
def test_partners_are_of_train(tmp_path, domain):
    """What views mix into a sample is no sample of test, nor of val."""
    root = WRITE[domain](tmp_path / "set", False)
    data = build_data(resolve({"data": data_choice(domain, str(root))}, domain))
    data.val = ~data.test & (torch.arange(len(data)) % 2 == 0)
    apart = data.test | data.val
    chosen = torch.cat([data.partner_of(torch.arange(len(data)), epoch) for epoch in range(20)])
    assert not apart[chosen].any()
