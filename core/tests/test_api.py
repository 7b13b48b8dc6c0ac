"""The Python face does what the command line does."""

import os
from pathlib import Path

import pytest
import torch

import unlabeled
from unlabeled.runs.folder import FREE, LONGER, RunFolder
from unlabeled.runs.launch import OUT, is_first_process
from unlabeled.runs.pretrained import open_data

pytestmark = pytest.mark.usefixtures("toy")
SHORT = {"epochs": 1, "batch_size": 16, "log_every": 1, "tensorboard": False}


def test_pretrain_embed_load():
    lines = []
    run = unlabeled.pretrain(
        "toy", out="run", data="centers", encoder={"width": 4}, objective="simclr", lr=0.01, say=lines.append, **SHORT
    )
    assert lines[0].startswith("data centers: 64 samples | encoder mlp")
    assert run.config.parts["optimizer"].settings["lr"] == 0.01
    x, y = run.embed()
    assert x.shape == (64, 4)
    assert y.tolist() == [n % 4 for n in range(64)]
    again = unlabeled.load("run")
    assert torch.equal(again.embed()[0], x)
    torch.testing.assert_close(again.embed(batch_size=7)[0], x)
    assert torch.equal(unlabeled.load("run/encoder").embed()[0], x)
    assert unlabeled.load("run/encoder").config is None


def test_pretrain_is_the_command(capsys):
    from unlabeled.cli import main

    unlabeled.pretrain("toy", out="a", say=lambda line: None, objective={"temperature": 0.3}, **SHORT)
    words = ["--epochs", "1", "--batch-size", "16", "--log-every", "1", "--no-tensorboard"]
    toy = str(Path(__file__).with_name("toy_domain.py"))
    code = main(["--plugin", toy, "toy", "pretrain", "--out", "b", "--objective.temperature", "0.3", *words])
    assert code == 0, capsys.readouterr().err
    assert Path("a/config.yaml").read_text() == Path("b/config.yaml").read_text()
    assert Path("a/encoder/model.safetensors").read_bytes() == Path("b/encoder/model.safetensors").read_bytes()


def test_preview_of_a_domain_and_of_a_run():
    assert unlabeled.preview("toy", out="a.png", n=3, batch_size=16).read_text() == "2 views of 3"
    run = unlabeled.pretrain("toy", out="run", say=lambda line: None, **SHORT)
    assert unlabeled.preview("run", out="b.png", n=2) == Path("b.png")
    assert unlabeled.preview(run, out="c.png", n=2).read_text() == Path("b.png").read_text() == "2 views of 2"
    with pytest.raises(unlabeled.UsageError, match=r"preview\.n is 'many'; it must be int"):
        unlabeled.preview("toy", n="many", batch_size=16)


def test_every_mistake_at_once():
    with pytest.raises(unlabeled.UsageError) as caught:
        unlabeled.pretrain("toy", epoch=3, encoder={"wdith": 3}, objective="simcrl", batch_size="many")
    text = str(caught.value)
    for part in ("unknown setting 'epoch'. Perhaps you meant epochs", "encoder has no setting 'wdith'",
                 "unknown objective 'simcrl'", "training.batch_size is 'many'"):  # fmt: skip
        assert part in text
    assert not any(Path().iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resume": True}, "resume=True needs out"),
        ({"recipe": "tea"}, "unknown recipe 'tea'"),
        ({"recipe": "tea", "config": "a.yaml"}, "exclude each other"),
        ({"data": "nowhere"}, "no such file or folder"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(unlabeled.UsageError, match=message):
        unlabeled.pretrain("toy", **options)


def test_an_unknown_domain():
    with pytest.raises(unlabeled.UsageError, match="unknown domain 'toi'"):
        unlabeled.pretrain("toi")


def test_data_follows_the_encoders_spec():
    """A setting that is named like a field of the spec takes the encoder's value."""
    run = unlabeled.pretrain("toy", out="run", say=lambda line: None, **SHORT)
    Path("lines.txt").write_text("1 2 3 4")
    data = open_data("toy", "lines.txt", run.config, type(run.spec)(5))
    assert data.spec.width == 5
    assert len(run.data("lines.txt")) == 4
    assert run.data(data) is data


def test_probe_and_finetune_write_beside_the_run():
    unlabeled.pretrain("toy", out="run", say=lambda line: None, **SHORT)
    table = unlabeled.probe("run", seeds=(0,))
    assert table.row("pre-trained").numbers["knn.accuracy@all"].mean > 0.5
    unlabeled.finetune("run", epochs=1, batch_size=16)
    assert Path("run/probes.json").is_file()
    assert Path("run/finetune.json").is_file()
    assert "load_file" in unlabeled.export("run")
    features, _ = unlabeled.embed("run")
    assert features.shape == (64, 8)
    saved = unlabeled.embed("run", out="f.npz", features="layers")
    assert (saved.samples, saved.widths) == (64, (8,))
    assert Path("f.npz").is_file()
    with pytest.raises(unlabeled.UsageError, match="give out"):
        unlabeled.embed("run", features="tokens")


@pytest.mark.parametrize(
    ("environment", "first"),
    [({}, True), ({"LOCAL_RANK": "0"}, True), ({"LOCAL_RANK": "1"}, False), ({"RANK": "2", "LOCAL_RANK": "0"}, False),
     ({"SLURM_PROCID": "1"}, False)],
)  # fmt: skip
def test_which_process_is_the_first(monkeypatch, environment, first):
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() is first


def test_a_later_process_needs_the_folder_of_the_first(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(unlabeled.UsageError, match="give --out"):
        unlabeled.pretrain("toy", **SHORT)
    assert OUT not in os.environ


def test_the_next_folder_is_free():
    run = unlabeled.pretrain("toy", out="run", say=lambda line: None, **SHORT)
    Path("runs/toy-simclr-1").mkdir(parents=True)
    assert RunFolder.next(run.config).path == Path("runs/toy-simclr-2")
    assert RunFolder("run").config == run.config


def test_settings_that_a_resume_may_change_exist():
    from unlabeled.config.run import Training

    assert {*LONGER, *FREE} <= set(Training.__dataclass_fields__)


def test_no_module_hides_a_public_function():
    """Importing a submodule sets its name on the package, over the function of that name."""
    package = Path(unlabeled.__file__).parent
    modules = {path.stem for path in package.iterdir() if not path.name.startswith("_")}
    assert modules & set(unlabeled.__all__) == set()


def test_every_public_name_resolves():
    for name in unlabeled.__all__:
        assert getattr(unlabeled, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'pertrain'"):
        unlabeled.pertrain  # noqa: B018


def test_data_takes_the_settings_of_the_command(toy):
    run = unlabeled.pretrain("toy", data={"samples": 32}, out="run", say=lambda line: None, **SHORT)
    assert len(run.data()) == 32
    assert len(run.data({"samples": 8})) == len(unlabeled.embed(run, {"name": "centers", "samples": 8})[0]) == 8
    Path("lines.txt").write_text("1\n2\n3\n4\n" * 8)
    named = unlabeled.pretrain("toy", data={"path": "lines.txt", "width": 3}, out="b", say=lambda line: None, **SHORT)
    assert (len(named.data()), named.spec.width) == (32, 3)
    with pytest.raises(unlabeled.UsageError, match="sample"):
        unlabeled.pretrain("toy", data={"sample": 32}, out="c", **SHORT)
    with pytest.raises(unlabeled.UsageError, match="max-bad is 2"):
        run.data({"samples": 8, "max_bad": 2.0})
