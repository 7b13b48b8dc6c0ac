"""What a run takes over from the weights that it starts from, and what stays the user's."""

import json

import pytest

from unlabeled.config import implied
from unlabeled.config.run import resolve
from unlabeled.errors import UsageError


@pytest.fixture
def weights(tmp_path):
    """An encoder folder of digits that says its size and normalization."""
    info = {
        "format": 1,
        "domain": "vision",
        "encoder": {"name": "vit", "settings": {"patch": 4, "width": 32, "depth": 2}},
        "spec": {"channels": 1, "size": 16, "mean": [0.5], "std": [0.25], "mirror": False},
    }
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.json").write_text(json.dumps(info))
    return tmp_path


def of(weights, **more):
    raw = {"data": {"path": "photos/"}, "objective": "simclr", "training": {"init": str(weights)}, **more}
    return resolve(raw, "vision").parts


def test_the_encoder_and_the_reading_of_data_come_with_the_weights(weights):
    parts = of(weights)
    assert {"width": 32, "depth": 2, "patch": 4}.items() <= parts["encoder"].settings.items()
    data = parts["data"].settings
    assert (data["size"], data["channels"], tuple(data["mean"]), tuple(data["std"])) == (16, 1, (0.5,), (0.25,))


def test_what_is_given_stays(weights):
    parts = of(weights, data={"path": "photos/", "size": 32}, encoder={"depth": 6})
    assert (parts["data"].settings["size"], parts["encoder"].settings["depth"]) == (32, 6)
    assert parts["encoder"].settings["width"] == 32
    assert of(weights, encoder="resnet")["encoder"].name == "resnet"


def test_without_weights_nothing_changes(tmp_path):
    assert of(tmp_path) == of(tmp_path / "none")
    assert of(tmp_path)["data"].settings["size"] == 0


def test_weights_of_another_domain_bring_nothing(weights):
    config = weights / "encoder" / "config.json"
    config.write_text(config.read_text().replace("vision", "audio"))
    assert of(weights)["data"].settings["size"] == 0


def test_the_flags_under_which_weights_fit(weights):
    settings = {"patch": 4, "width": 32, "depth": 6}
    assert implied.command(str(weights), "vit", settings) == "; it fits --encoder.depth 2"
    found = implied.command(str(weights), "resnet", {})
    assert found == "; it fits --encoder vit --encoder.patch 4 --encoder.width 32 --encoder.depth 2"
    assert implied.command("nowhere", "vit", {}) == ""


def test_only_a_name_of_the_hub_is_fetched(weights, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    asked = []

    def download(name, **more):
        asked.append(name)
        return str(weights)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert of(weights)["data"].settings["size"] == 16
    assert not asked
    assert of("hf://someone/digits")["data"].settings["size"] == 16
    assert asked == ["someone/digits"]


def test_a_name_that_the_hub_does_not_have(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def download(name, **more):
        raise OSError("no such repository\nand more")

    monkeypatch.setattr(hub, "snapshot_download", download)
    with pytest.raises(UsageError, match=r"hf://someone/none cannot be had: no such repository$"):
        of("hf://someone/none")


def test_what_a_run_wrote_asks_nobody(weights, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **more: str(weights))
    raw = {"data": {"path": "photos/"}, "objective": "simclr", "training": {"init": "hf://someone/digits"}}
    written = resolve(raw, "vision").to_dict()

    def gone(name, **more):
        raise OSError("no network")

    monkeypatch.setattr(hub, "snapshot_download", gone)
    assert resolve(written).to_dict() == written


def test_how_data_are_read_is_told(weights):
    settings = of(weights)["data"].settings
    expected = f"read as {weights} read its own: channels 1, size 16, mean 0.5, std 0.25"
    assert implied.told(str(weights), {**settings, "mirror": True}) == expected
    assert implied.told("nowhere", settings) == ""
