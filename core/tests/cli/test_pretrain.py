"""``pretrain``: composed, checked before any folder is made, repeatable, resumable, never destructive."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from unlabeled.training import module, optimizers

SHORT = ("--epochs", "1", "--batch-size", "16", "--log-every", "1", "--data.samples", "32", "--no-tensorboard")


def config(found):
    assert found.code == 0, found.err
    return yaml.safe_load(found.out)


class TestCompose:
    def test_flags_reach_the_config(self, unlabeled):
        raw = config(
            unlabeled(
                "toy", "pretrain", "--encoder", "zoo/bear", "--objective.temperature", "0.2", "--lr=0.1",
                "--epochs", "3", "--mask", "random", "--mask.ratio", "0.5", "--optimizer", "sgd", "--print-config",
            )
        )  # fmt: skip
        assert raw["encoder"] == {"name": "zoo/bear"}
        assert raw["objective"]["temperature"] == 0.2
        assert raw["optimizer"]["name"] == "sgd"
        assert raw["optimizer"]["lr"] == 0.1
        assert raw["mask"] == {"name": "random", "ratio": 0.5}
        assert raw["training"]["epochs"] == 3
        assert raw["domain"] == "toy"

    def test_a_printed_config_gives_itself(self, unlabeled, tmp_path):
        first = unlabeled("toy", "pretrain", "--encoder.width", "4", "--mask", "none", "--print-config").out
        (tmp_path / "run.yaml").write_text(first)
        assert unlabeled("toy", "pretrain", "--config", "run.yaml", "--print-config").out == first

    def test_flags_override_a_config(self, unlabeled, tmp_path):
        (tmp_path / "run.yaml").write_text("encoder: {name: mlp, width: 4, depth: 3}\ntraining: {epochs: 7}\n")
        raw = config(unlabeled("toy", "pretrain", "--config", "run.yaml", "--encoder.width", "2", "--print-config"))
        assert raw["encoder"]["width"] == 2
        assert raw["encoder"]["depth"] == 3
        assert raw["training"]["epochs"] == 7

    def test_another_component_drops_the_settings_of_the_old_one(self, unlabeled, tmp_path):
        (tmp_path / "run.yaml").write_text("encoder: {name: mlp, width: 4}\n")
        raw = config(unlabeled("toy", "pretrain", "--config", "run.yaml", "--encoder", "zoo/x", "--print-config"))
        assert raw["encoder"] == {"name": "zoo/x"}

    def test_gradient_caching_is_an_objectives_flag_too(self, unlabeled):
        raw = config(unlabeled("toy", "pretrain", "--objective.micro-batch", "8", "--print-config"))
        assert raw["training"]["micro_batch"] == 8

    def test_help_shows_the_chosen_component_and_its_values(self, unlabeled, tmp_path):
        (tmp_path / "run.yaml").write_text("encoder: {name: mlp, width: 4}\n")
        found = unlabeled("toy", "pretrain", "--config", "run.yaml", "--objective", "vicreg", "--help")
        assert found.code == 0
        assert "objective vicreg (variance, invariance, covariance):" in found.out
        line = next(line for line in found.out.splitlines() if "--encoder.width" in line)
        assert line.split() == ["--encoder.width", "INT", "features", "[4]"]


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["--objective.temprature", "1"], ["unknown flag --objective.temprature. Perhaps you meant "
                                          "--objective.temperature FLOAT ("]),
        (["--encoder", "mpl"], ["unknown encoder 'mpl' in domain 'toy'. Perhaps you meant mlp."]),
        (["--encoder", "mpl", "--encoder.width", "x", "--epoch", "3", "--lr", "fast"],
         ["found 3 errors:", "unknown encoder 'mpl'", "--epoch. Perhaps you meant --epochs INT", "--lr is 'fast'"]),
        (["--epochs", "-1"], ["training.epochs is -1; it must be at least 0"]),
        (["--data", "centres"], ["--data centres: no such file or folder. Perhaps you meant centers"]),
        (["--config", "no.yaml"], ["cannot read config no.yaml"]),
        (["simclr"], ["unknown recipe 'simclr' in domain 'toy'. Domain 'toy' has none."]),
        (["--epochs", "3", "simclr"], ["unexpected 'simclr': the recipe stands right after the command"]),
        (["--encoder.norm", "group"], ["--encoder.norm is 'group'; it must be one of layer, batch (of a block"]),
        (["--mask.ratio", "0.5"], ["unknown flag --mask.ratio"]),
        (["--resume"], ["--resume needs --out RUN"]),
        (["--views.noise", "-1"], ["views noise: noise is -1.0; it must be at least 0"]),
        (["--lr", "-1"], ["optimizer adamw", "-1"]),
        (["--batch-size", "1000"], ["the data has 64 samples to train on, fewer than one batch of 1000"]),
        (["--data.samples", "0"], ["no samples"]),
        (["--accelerator", "abacus"], ["lightning refuses accelerator 'abacus'"]),
        (["--init", "nowhere"], ["nowhere: no such folder"]),
        (["--objective", "mae"], ["objective 'mae' needs a decoder: choose one with --decoder"]),
    ],
)  # fmt: skip
def test_a_typo_never_trains(unlabeled, tmp_path, words, messages):
    recipe = words[:1] if not words[0].startswith("-") else []
    out = () if "--resume" in words else ("--out", "runs/x")
    found = unlabeled("toy", "pretrain", *recipe, "--batch-size", 16, *words[len(recipe) :], *out)
    assert found.code == 2, found
    for message in messages:
        assert message in found.err
    assert "Traceback" not in found.err
    assert list(tmp_path.iterdir()) == []


class TestRun:
    def test_what_a_run_leaves(self, trained):
        names = {path.name for path in trained.iterdir()}
        assert names == {"config.yaml", "metrics.jsonl", "checkpoints", "encoder"}
        assert {path.name for path in (trained / "encoder").iterdir()} == {
            "README.md",
            "config.json",
            "model.safetensors",
        }
        rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
        assert [row["step"] for row in rows] == [1, 2]

    def test_it_says_what_it_does_and_what_is_next(self, unlabeled):
        found = unlabeled("toy", "pretrain", *SHORT)
        assert found.code == 0, found.err
        head, *_, saved, probe, export = found.out.splitlines()
        assert head.startswith("data centers: 32 samples | encoder mlp ")
        assert head.endswith("| objective simclr | cpu | runs/toy-simclr-1")
        assert saved.startswith("saved runs/toy-simclr-1/")
        assert "unlabeled toy probe runs/toy-simclr-1" in probe
        assert "unlabeled toy export runs/toy-simclr-1" in export

    def test_folders_count_up(self, unlabeled, tmp_path):
        (tmp_path / "runs" / "toy-simclr-1").mkdir(parents=True)
        assert unlabeled("toy", "pretrain", *SHORT).code == 0
        assert (tmp_path / "runs" / "toy-simclr-2" / "encoder").is_dir()

    def test_a_part_that_the_objective_ignores_is_said(self, unlabeled):
        found = unlabeled("toy", "pretrain", "--mask", "random", *SHORT)
        assert found.out.startswith("warning: objective 'simclr' makes no use of a mask; --mask is ignored\n")

    def test_a_run_from_its_own_config_is_the_same_run(self, unlabeled, run, tmp_path):
        found = unlabeled("toy", "pretrain", "--config", run / "config.yaml", "--out", "again")
        assert found.code == 0, found.err
        for name in ("config.yaml", "encoder/model.safetensors"):
            assert (tmp_path / "again" / name).read_bytes() == (run / name).read_bytes()

    def test_init_starts_from_another_run(self, unlabeled, run, tmp_path):
        words = ("toy", "pretrain", *SHORT, "--epochs", "0", "--out", "b")
        assert unlabeled(*words, "--init", run).code == 0
        weights = (run / "encoder" / "model.safetensors").read_bytes()
        assert (tmp_path / "b" / "encoder" / "model.safetensors").read_bytes() == weights
        assert unlabeled(*words, "--overwrite").code == 0
        assert (tmp_path / "b" / "encoder" / "model.safetensors").read_bytes() != weights

    def test_init_that_does_not_fit(self, unlabeled, run, tmp_path):
        found = unlabeled("toy", "pretrain", *SHORT, "--encoder.width", "4", "--init", run, "--out", "b")
        assert found.code == 2
        assert "does not fit this encoder" in found.err
        assert "of another shape" in found.err
        assert found.err.count("\n") == 1
        assert not (tmp_path / "b").exists()

    def test_ctrl_c_says_that_the_state_is_saved(self, unlabeled, run, monkeypatch):
        import unlabeled.training.run as training
        from unlabeled.training.run import train

        def stopped(*args, **options):
            from dataclasses import replace

            return replace(train(*args, **options), interrupted=True, stopped="interrupted")

        monkeypatch.setattr(training, "train", stopped)
        found = unlabeled("toy", "pretrain", *SHORT, "--out", "b")
        assert found.code == 130
        assert "stopped at step 2; the state is saved: unlabeled toy pretrain --resume --out b" in found.err


class TestFolder:
    def test_an_existing_run_is_not_touched(self, unlabeled, run):
        before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
        found = unlabeled("toy", "pretrain", *SHORT, "--out", run)
        assert found.code == 2
        assert "holds a run: --resume goes on with it, --overwrite deletes it" in found.err
        assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before

    def test_overwrite_deletes_what_core_wrote_and_nothing_else(self, unlabeled, run):
        (run / "notes.txt").write_text("mine")
        (run / "probes.json").write_text("{}")
        found = unlabeled("toy", "pretrain", *SHORT, "--out", run, "--overwrite", "--seed", "5")
        assert found.code == 0, found.err
        assert (run / "notes.txt").read_text() == "mine"
        assert not (run / "probes.json").exists()
        assert yaml.safe_load((run / "config.yaml").read_text())["training"]["seed"] == 5

    @pytest.mark.parametrize("content", ["", "a: 1\n", "not: [yaml"])
    def test_overwrite_refuses_what_is_no_run(self, unlabeled, tmp_path, content):
        folder = tmp_path / "precious"
        folder.mkdir()
        (folder / "thesis.tex").write_text("x")
        (folder / "config.yaml").write_text(content)
        found = unlabeled("toy", "pretrain", *SHORT, "--out", folder, "--overwrite")
        assert found.code == 2
        assert "is no run folder" in found.err
        assert (folder / "thesis.tex").exists()

    def test_overwrite_waits_until_all_is_checked(self, unlabeled, run):
        assert unlabeled("toy", "pretrain", *SHORT, "--out", run, "--overwrite", "--lr", "-1").code == 2
        assert (run / "encoder" / "model.safetensors").exists()

    def test_a_file_is_no_folder(self, unlabeled, tmp_path):
        (tmp_path / "file").write_text("")
        assert "is a file" in unlabeled("toy", "pretrain", *SHORT, "--out", "file").err

    def test_an_empty_folder_is_taken(self, unlabeled, tmp_path):
        (tmp_path / "empty").mkdir()
        assert unlabeled("toy", "pretrain", *SHORT, "--out", "empty").code == 0

    def test_a_linked_folder_inside_is_unlinked_and_not_emptied(self, unlabeled, run, tmp_path):
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "keep").write_text("")
        (run / "tensorboard").symlink_to(outside)
        assert unlabeled("toy", "pretrain", *SHORT, "--out", run, "--overwrite").code == 0
        assert (outside / "keep").exists()


class TestResume:
    def test_longer(self, unlabeled, run):
        (run / "probes.json").write_text("{}")
        found = unlabeled("toy", "pretrain", "--resume", "--out", run, "--epochs", "2")
        assert found.code == 0, found.err
        info = json.loads((run / "encoder" / "config.json").read_text())
        assert info["provenance"]["steps"] == 4
        assert info["provenance"]["samples_seen"] == 64
        assert yaml.safe_load((run / "config.yaml").read_text())["training"]["epochs"] == 2
        assert not (run / "probes.json").exists()
        assert "removed" in found.out

    def test_a_run_that_is_done_keeps_its_weights(self, unlabeled, run):
        weights = (run / "encoder" / "model.safetensors").read_bytes()
        found = unlabeled("toy", "pretrain", "--resume", "--out", run)
        assert found.code == 0, found.err
        assert "all 2 steps were done already" in found.out
        assert (run / "encoder" / "model.safetensors").read_bytes() == weights

    def test_the_same_command_again(self, unlabeled, run):
        assert unlabeled("toy", "pretrain", *SHORT, "--out", run, "--resume").code == 0

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--optimizer", "sgd"], "optimizer.name is adamw in the run, found sgd"),
            (["--seed", "3"], "seed is 0 in the run, found 3"),
            (["--epochs", "0"], "epochs can only grow: the run has 1, found 0"),
            (["--steps", "1"], "steps can only grow: the run has None, found 1"),
            (["--encoder", "zoo/x"], "encoder.name is mlp in the run, found zoo/x"),
            (["--overwrite"], "give one of them"),
        ],
    )
    def test_another_run_is_refused(self, unlabeled, run, words, message):
        found = unlabeled("toy", "pretrain", "--resume", "--out", run, *words)
        assert found.code == 2
        assert message in found.err
        assert found.err.count("\n") == 1

    def test_what_a_run_that_diverged_goes_on_with_may_change_and_is_recorded(self, unlabeled, run, monkeypatch):
        rates, real = [], optimizers.set_rate

        def spy(optimizer, *rest):
            real(optimizer, *rest)
            rates.append([(g["full_lr"], g["weight_decay"]) for g in optimizer.param_groups])

        monkeypatch.setattr(module, "set_rate", spy)
        words = ("--lr", "0.5", "--clip", "1.0", "--optimizer.weight-decay", "0.25", "--epochs", "2")
        found = unlabeled("toy", "pretrain", "--resume", "--out", run, *words)
        assert found.code == 0, found.err
        assert "going on with optimizer.lr 0.5 (was 0.001)" in found.out
        assert {lr for groups in rates for lr, _ in groups} == {0.5}
        assert {decay for groups in rates for _, decay in groups} == {0.25, 0.0}
        (row,) = [json.loads(line) for line in (run / "changes.jsonl").read_text().splitlines()]
        assert row["step"] == 2
        assert row["changes"]["optimizer.lr"] == [0.001, 0.5]
        assert row["changes"]["clip"][1] == 1.0
        assert "lr: 0.5" in (run / "config.yaml").read_text()

    def test_a_damaged_log_blocks_nothing(self, unlabeled, run):
        rows = (run / "metrics.jsonl").read_bytes()
        (run / "metrics.jsonl").write_bytes(b'[1, 2]\n{"loss": 1}\n\xff\x00\n{"step": null}\n' + rows + b'{"step": ')
        assert unlabeled("toy", "pretrain", "--resume", "--out", run, "--epochs", "2").code == 0
        assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3, 4]

    @pytest.mark.parametrize("words", [["--resume"], ["--overwrite"]])
    def test_a_second_writer_is_one_clear_line(self, unlabeled, run, words):
        hold = "import sys; from pathlib import Path; from unlabeled.runs.lock import locked\n"
        hold += "with locked(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
        command = [sys.executable, "-c", hold, str(run)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout.readline() == "held\n"
            before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
            found = unlabeled("toy", "pretrain", *SHORT, "--out", run, *words)
            assert (found.code, found.err.count("\n")) == (2, 1)
            assert f"{run} is being written by process {other.pid} on " in found.err
            assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
            assert "is still being trained" in unlabeled("toy", "embed", run, "--out", "f.npz").err
            other.kill()  # its lock dies with it
        assert (run / ".lock").is_file()
        assert unlabeled("toy", "pretrain", *SHORT, "--out", run, *words).code == 0
        assert not (run / ".lock").exists()

    def test_what_a_killed_writer_left_locks_no_folder(self, unlabeled, tmp_path):
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "config.yaml.tmp").write_text("domain: t")
        (tmp_path / "new" / ".lock").write_text("{")
        assert unlabeled("toy", "pretrain", *SHORT, "--out", "new").code == 0

    @pytest.mark.parametrize("words", [["--workers", "1"], ["--log-every", "3"], ["--checkpoint-every", "7"]])
    def test_what_leaves_the_numbers_as_they_are_may_change(self, unlabeled, run, words):
        assert unlabeled("toy", "pretrain", "--resume", "--out", run, *words).code == 0

    @pytest.mark.parametrize("content", [b"", b"garbage" * 9])
    def test_a_broken_checkpoint(self, unlabeled, run, content):
        (run / "checkpoints" / "last.ckpt").write_bytes(content)
        found = unlabeled("toy", "pretrain", "--resume", "--out", run, "--epochs", "2")
        assert found.code == 2
        assert "last.ckpt: it is no checkpoint of a run" in found.err
        assert found.err.count("\n") == 1

    def test_no_run(self, unlabeled, tmp_path):
        found = unlabeled("toy", "pretrain", "--resume", "--out", "nowhere")
        assert found.code == 2
        assert "nowhere is no run folder: it does not exist" in found.err
        assert not Path("nowhere").exists()
