"""Pre-training in turns: what each run is called with."""

import pytest

from unlabeled.cli import main
from unlabeled_audio import commands


@pytest.fixture
def calls(monkeypatch):
    found = []

    def pretrain(domain, words):
        found.append(" ".join([domain, *words]))
        return 0

    monkeypatch.setattr(commands, "in_domain", pretrain)
    return found


def test_hubert_clusters_what_the_last_iteration_gave(calls, tmp_path):
    out = str(tmp_path)
    words = ["--out", out, "--iterations=3", "--units", "100,500", "--layer", "2", "--epochs", "5"]
    assert main(["audio", "hubert", *words]) == 0
    units = "--tokenizer units --tokenizer.count"
    assert calls == [
        f"audio pretrain hubert {units} 100 --out {out}/1 --epochs 5",
        f"audio pretrain hubert {units} 500 --tokenizer.run {out}/1 --tokenizer.layer 2 --out {out}/2 --epochs 5",
        f"audio pretrain hubert {units} 500 --tokenizer.run {out}/2 --tokenizer.layer 2 --out {out}/3 --epochs 5",
    ]


def test_beats_trains_a_tokenizer_between_iterations(calls, tmp_path):
    out = str(tmp_path)
    assert main(["audio", "beats", "--out", out, "--steps", "3"]) == 0
    assert calls == [
        f"audio pretrain beats --out {out}/1 --steps 3",
        f"audio pretrain beats_tokenizer --objective.run {out}/1 --out {out}/2-tokenizer --steps 3",
        f"audio pretrain beats --tokenizer codes --tokenizer.run {out}/2-tokenizer --out {out}/2 --steps 3",
    ]


@pytest.mark.parametrize("command", ["hubert", "beats"])
def test_a_failed_iteration_ends_it(monkeypatch, tmp_path, command):
    monkeypatch.setattr(commands, "in_domain", lambda domain, words: 130)
    assert main(["audio", command, "--out", str(tmp_path)]) == 130


def test_resume_keeps_what_is_finished_and_goes_on_with_the_rest(calls, tmp_path, capsys):
    (tmp_path / "1" / "encoder").mkdir(parents=True)
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "config.yaml").write_text("domain: audio\ntraining: {}\n")
    assert main(["audio", "hubert", "--out", str(tmp_path), "--iterations", "3", "--resume"]) == 0
    assert "1 is finished, and kept" in capsys.readouterr().out
    assert calls[0] == f"audio pretrain --out {tmp_path}/2 --resume"
    assert calls[1].endswith(f"--tokenizer.run {tmp_path}/2 --out {tmp_path}/3")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--out is missing"),
        (["--out"], "--out needs a value"),
        (["--out", "x", "--iterations", "0"], "iterations is 0; it must be above 0"),
        (["--out", "x", "--units", "ten"], "--units is 'ten'"),
    ],
)
def test_mistakes_come_before_the_first_run(calls, capsys, words, message):
    assert main(["audio", "hubert", *words]) == 2
    assert message in capsys.readouterr().err
    assert calls == []


def test_beats_has_no_units(tmp_path, capsys):
    assert main(["audio", "beats", "--out", str(tmp_path / "x"), "--units", "5"]) == 2
    assert "unknown flag --units" in capsys.readouterr().err


def test_help(capsys):
    assert main(["audio", "hubert", "--help"]) == main(["audio", "beats", "-h"]) == 0
    assert "--units" in capsys.readouterr().out
