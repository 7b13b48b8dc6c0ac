"""Pre-training in turns: what each run is called with."""

import pytest

from unlabeled.errors import UsageError
from unlabeled_audio import commands


@pytest.fixture
def calls(monkeypatch):
    found = []

    def pretrain(domain, words):
        found.append(" ".join([domain, *words]))
        return 0

    monkeypatch.setattr(commands, "pretrain_command", pretrain)
    return found


def test_hubert_clusters_what_the_last_iteration_gave(calls, tmp_path):
    out = str(tmp_path)
    words = ["--out", out, "--iterations=3", "--units", "100,500", "--layer", "2", "--epochs", "5"]
    assert commands.hubert("audio", words) == 0
    units = "--tokenizer units --tokenizer.count"
    assert calls == [
        f"audio hubert {units} 100 --out {out}/1 --epochs 5",
        f"audio hubert {units} 500 --tokenizer.run {out}/1 --tokenizer.layer 2 --out {out}/2 --epochs 5",
        f"audio hubert {units} 500 --tokenizer.run {out}/2 --tokenizer.layer 2 --out {out}/3 --epochs 5",
    ]


def test_beats_trains_a_tokenizer_between_iterations(calls, tmp_path):
    out = str(tmp_path)
    assert commands.beats("audio", ["--out", out, "--steps", "3"]) == 0
    assert calls == [
        f"audio beats --out {out}/1 --steps 3",
        f"audio beats_tokenizer --objective.run {out}/1 --out {out}/2-tokenizer --steps 3",
        f"audio beats --tokenizer codes --tokenizer.run {out}/2-tokenizer --out {out}/2 --steps 3",
    ]


def test_a_failed_iteration_ends_it(monkeypatch, tmp_path):
    monkeypatch.setattr(commands, "pretrain_command", lambda domain, words: 130)
    assert commands.hubert("audio", ["--out", str(tmp_path)]) == 130
    assert commands.beats("audio", ["--out", str(tmp_path)]) == 130


def test_resume_keeps_what_is_finished_and_goes_on_with_the_rest(calls, tmp_path, capsys):
    (tmp_path / "1" / "encoder").mkdir(parents=True)
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "config.yaml").write_text("domain: audio\ntraining: {}\n")
    commands.hubert("audio", ["--out", str(tmp_path), "--iterations", "3", "--resume"])
    assert "1 is finished, and kept" in capsys.readouterr().out
    assert calls[0] == f"audio --out {tmp_path}/2 --resume"
    assert calls[1].endswith(f"--tokenizer.run {tmp_path}/2 --out {tmp_path}/3")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--out is missing"),
        (["--out"], "--out needs a value"),
        (["--out", "x", "--iterations", "0"], "--iterations is '0'"),
        (["--out", "x", "--units", "ten"], "--units is 'ten'"),
    ],
)
def test_mistakes_are_one_line(calls, words, message):
    with pytest.raises(UsageError, match=message):
        commands.hubert("audio", words)
    assert calls == []


def test_beats_has_no_units(calls):
    with pytest.raises(UsageError, match="beats has no --units"):
        commands.beats("audio", ["--out", "x", "--units", "5"])


def test_help(capsys):
    assert commands.hubert("audio", ["--help"]) == commands.beats("audio", ["-h"]) == 0
    assert "--units" in capsys.readouterr().out
