"""A config is checked as a whole, completed, and replayable."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from unlabeled.cli.compose import compose
from unlabeled.config.run import Training, data_choice, merge, read_yaml, resolve
from unlabeled.errors import UsageError
from unlabeled.plugins.registry import registry

pytestmark = pytest.mark.usefixtures("toy")


def test_defaults_are_filled_in():
    config = resolve({}, "toy")
    assert config.parts["encoder"].settings == {"width": 8, "depth": 1, "norm": "layer", "pretrained": False}
    assert {kind: choice.name for kind, choice in config.parts.items()} == {
        "data": "centers",
        "views": "noise",
        "encoder": "mlp",
        "objective": "simclr",
        "optimizer": "adamw",
        "schedule": "cosine",
    }
    assert config.training == Training()


def test_a_domain_may_have_training_defaults_of_its_own(monkeypatch):
    row = registry().domain("toy")
    monkeypatch.setitem(registry().domains, "toy", replace(row, training={"batch_size": 16}))
    assert resolve({}, "toy").training == Training(batch_size=16)
    assert resolve({"training": {"batch_size": 32, "epochs": 3}}, "toy").training == Training(batch_size=32, epochs=3)
    flags = {flag.name: flag for flag in compose("toy", [], ()).flags}
    assert flags["batch-size"].default == 16
    assert flags["epochs"].default == Training().epochs


def test_a_config_round_trips():
    raw = {"encoder": {"name": "mlp", "width": 16}, "mask": "random", "training": {"epochs": 3}, "paper": "1"}
    config = resolve(raw, "toy")
    assert resolve(yaml.safe_load(config.to_yaml())) == config


def test_a_part_that_was_switched_off_stays_off():
    config = resolve({"mask": None}, "toy")
    assert "mask" not in config.parts
    assert yaml.safe_load(config.to_yaml())["mask"] is None
    assert resolve(merge({"mask": {"name": "random"}}, config.to_dict())) == config


def test_lists_become_tuples_and_back():
    config = resolve({"objective": {"name": "simclr", "projector": [4, 4]}}, "toy")
    assert config.parts["objective"].settings["projector"] == (4, 4)
    assert config.to_dict()["objective"]["projector"] == [4, 4]


def test_all_errors_at_once():
    raw = {
        "encoder": {"name": "mpl"},
        "objective": {"name": "simclr", "temprature": 1},
        "views": {"noise": "much"},
        "training": {"epochs": -1, "batch_size": -1},
        "objctive": {},
    }
    with pytest.raises(UsageError) as caught:
        resolve(raw, "toy")
    lines = str(caught.value).splitlines()
    assert lines[0] == "found 6 errors:"
    expected = ("unknown key 'objctive'. Perhaps you meant objective", "views.noise is 'much'; it must be float",
                "unknown encoder 'mpl' in domain 'toy'. Perhaps you meant mlp", "objective has no setting 'temprature'",
                "training.epochs is -1", "training.batch_size is -1")  # fmt: skip
    for start in expected:
        assert any(line.strip().startswith(start) for line in lines), start


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"training": {"steps": 0}}, "training.steps is 0; it must be above 0"),
        ({"training": {"minutes": -1.0}}, "training.minutes is -1.0"),
        ({"training": {"max_bad": 2.0}}, "must be a share"),
        ({"training": {"batch_size": 10, "accumulate": 4}}, "not a multiple of accumulate"),
        ({"training": {"precision": "bf16-true"}}, "precision is 'bf16-true'; it must be one of 32-true, bf16-mixed"),
        ({"training": {"batch_size": 8, "accumulate": 2, "micro_batch": 2}}, "exclude each other"),
        ({"training": {"logger": "wandbb"}}, "unknown logger 'wandbb'.*wandb"),
        ({"training": [1]}, "it must be a mapping"),
        ({"encoder": 3}, "encoder is 3; it must be a name"),
        ({"domain": "vision"}, "the config is for domain 'vision', the command for 'toy'"),
        ({"tokenizer": {"size": 3}}, "no tokenizer is named"),
        ({"data": {"samples": True}}, "data.samples is True; it must be int"),
    ],
)
def test_what_is_refused(raw, message):
    with pytest.raises(UsageError, match=message):
        resolve(raw, "toy")


def test_no_domain():
    with pytest.raises(UsageError, match=r"names no domain\. Known: toy"):
        resolve({})


def test_a_family_of_encoders():
    assert resolve({"encoder": "zoo/bear"}, "toy").parts["encoder"].name == "zoo/bear"


A = {"encoder": {"name": "a", "x": 1}}


@pytest.mark.parametrize(
    ("base", "top", "expected"),
    [
        (A, {"encoder": {"x": 2, "y": 1}}, {"encoder": {"name": "a", "x": 2, "y": 1}}),  # settings go on top
        (A, {"encoder": {"name": "b"}}, {"encoder": {"name": "b"}}),  # another component drops them
        (A, {"encoder": "a"}, A),  # the same one keeps them
        # settings without a name are of whichever component is named later
        ({"data": {"x": 1}}, {"data": {"name": "b"}}, {"data": {"x": 1, "name": "b"}}),
        ({"encoder": "a"}, {"encoder": {"x": 1}}, A),  # a bare name keeps its place
        ({"mask": {"name": "a"}}, {"mask": None}, {"mask": None}),  # none switches off
    ],
)
def test_merge(base, top, expected):
    before = deepcopy(base)
    assert merge(base, top) == expected
    assert base == before


class TestData:
    def test_a_name(self):
        assert data_choice("toy", "centers") == {"name": "centers"}

    def test_a_path(self):
        Path("lines.txt").write_text("1")
        assert data_choice("toy", "lines.txt") == {"name": "lines", "path": "lines.txt"}

    def test_a_path_that_is_called_like_a_data_set(self):
        Path("centers").mkdir()
        assert data_choice("toy", "./centers") == {"name": "lines", "path": "./centers"}

    def test_a_path_that_is_called_like_its_reader(self):
        with pytest.raises(UsageError, match=r"--data lines reads files: give a path, or lines:PATH"):
            data_choice("toy", "lines")
        Path("lines").write_text("1")
        assert data_choice("toy", "lines") == {"name": "lines", "path": "lines"}

    def test_a_reader_without_a_path(self):
        with pytest.raises(UsageError, match="data lines reads files and has no path: give --data PATH"):
            resolve({"data": {"name": "lines"}}, "toy")

    def test_another_path_for_the_same_reader(self):
        Path("b.txt").write_text("1")
        assert data_choice("toy", "b.txt", {"name": "other", "path": "a.txt"}) == {"path": "b.txt"}

    def test_a_path_with_its_reader(self):
        assert data_choice("toy", "centers:b.txt") == {"name": "centers", "path": "b.txt"}
        Path("centers:b.txt").write_text("1")
        assert data_choice("toy", "centers:b.txt") == {"name": "lines", "path": "centers:b.txt"}

    def test_neither(self):
        with pytest.raises(UsageError, match=r"--data centres: no such file or folder\. Perhaps you meant centers"):
            data_choice("toy", "centres")

    def test_a_path_in_a_config_is_read_by_the_reader_of_files(self):
        config = resolve({"data": {"path": "x.txt"}}, "toy")
        assert config.parts["data"].name == "lines"
        assert config.data_path == "x.txt"
        assert config.to_dict()["data"] == {"name": "lines", "path": "x.txt", "width": 3}


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a: [", "is not valid YAML"), (b"- 1", "holds list"), (b"\xff\xfe\x00a", "is not valid YAML"), (b"", "NoneType"),
     (b"a: !!python/object/apply:os.getcwd []", "is not valid YAML")],
)  # fmt: skip
def test_files_that_are_no_config(tmp_path, content, message):
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_yaml(tmp_path / "a.yaml")
    assert "\n" not in str(caught.value)


def test_a_missing_config():
    with pytest.raises(UsageError, match=r"cannot read config nowhere\.yaml: No such file"):
        read_yaml("nowhere.yaml")
