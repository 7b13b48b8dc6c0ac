"""Soft units as a file and under a probe, of a run that learned them."""

import numpy as np
import pytest
import torch

from unlabeled.api import load, pretrain
from unlabeled.cli import main
from unlabeled.probes.frozen import Frozen
from unlabeled_audio.probes.soft_units import SoftUnits
from unlabeled_audio.probes.speakers import logistic
from unlabeled_audio.views.standard import Clean

SMALL = {
    "encoder": {"name": "wav2vec2", "width": 16, "depth": 1, "heads": 2, "channels": 8, "positions": 4},
    "tokenizer": {"name": "units", "count": 6},
    "data": "syllables",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "soft"
    objective = {"name": "soft_units", "width": 5}
    pretrain("audio", recipe="soft_units", out=out, say=str, objective=objective, steps=2, batch_size=8, **SMALL)
    return out


def soft_of(run):
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return (
        state["objective.head.project.weight"],
        state["objective.head.project.bias"],
        state["objective.head.units"][0],
    )


def test_soft_units_of_every_row_are_written(run, tmp_path, capsys):
    out = tmp_path / "soft.npz"
    assert main(["audio", "units", str(run), "--out", str(out)]) == 0
    assert "600 clips" in capsys.readouterr().out
    found, loaded = np.load(out), load(run)
    data = loaded.data()
    weight, bias, _ = soft_of(run)
    batch = data.__getitems__([7])
    with torch.no_grad():
        tokens = loaded.encoder(Clean(data.spec)(batch, None)[0]).tokens
    own = found["units"][found["offsets"][7] : found["offsets"][8]]
    torch.testing.assert_close(torch.from_numpy(own), tokens @ weight.T + bias, rtol=1e-4, atol=1e-5)
    assert found["rate"] == data.spec.rate / loaded.encoder.stride
    assert found["ids"].tolist() == list(range(len(data)))


def test_the_probe_reads_features_soft_units_and_rounded_ones(run):
    loaded = load(run)
    data = loaded.data()
    held = data.test
    sides = [torch.nonzero(side)[:, 0] for side in (~held, held)]
    frozen = Frozen(loaded.encoder, "pre-trained", data, Clean(data.spec), *sides, run=run)
    found = SoftUnits()(frozen)
    assert set(found) == {f"{y}_from_{x}" for y in ("speaker", "class") for x in ("features", "soft", "units")}
    weight, bias, units = soft_of(run)
    x = {"soft": [], "units": []}
    for side in sides:
        means, counts = [], []
        for _, _, features in frozen.encode(side):
            soft = features.tokens @ weight.T + bias
            near = torch.cosine_similarity(soft[:, None], units[None], dim=2).argmax(1)
            means += [part.mean(0) for part in soft.split(features.layout.lengths)]
            counts += [torch.bincount(part, minlength=6) / len(part) for part in near.split(features.layout.lengths)]
        x["soft"].append(torch.stack(means))
        x["units"].append(torch.stack(counts))
    y = [data.speakers[side] for side in sides]
    for name, (train, test) in x.items():
        assert found[f"speaker_from_{name}"] == logistic(train, y[0], test, y[1])
    assert SoftUnits()(Frozen(loaded.encoder, "untrained", data, Clean(data.spec), *sides)) == {}


def test_a_run_without_units_is_refused(run, tmp_path, capsys):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "encoder").symlink_to(run / "encoder")
    (bare / "config.yaml").symlink_to(run / "config.yaml")
    assert main(["audio", "units", str(bare), "--out", str(tmp_path / "x.npz")]) == 2
    assert "has no quantizer" in capsys.readouterr().err
    assert main(["audio", "units", str(run), "--out", str(tmp_path / "x.csv")]) == 2
    assert "must end in .npz" in capsys.readouterr().err
