"""Whole runs in this process, each of a second: what ends them, what they write, what they refuse."""

import json
import signal

import pytest
import torch

from unlabeled.errors import RunError, UsageError
from unlabeled.training import callbacks
from unlabeled.training.module import step_seed
from unlabeled.training.run import check


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rows(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_run_trains_and_writes_its_folder(toy, tmp_path, capsys):
    state, handlers = torch.get_rng_state(), [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    result, parts = toy.run(tmp_path, training={"epochs": 6, "log_every": 10, "tensorboard": True, "clip": 1.0})
    assert (result.steps, result.epochs, result.stopped, result.interrupted) == (30, 6.0, "epochs", False)
    assert result.samples_per_second > 0
    assert result.seconds > 0
    found = rows(tmp_path)
    assert [row["step"] for row in found] == [10, 20, 30]
    assert found[-1]["loss"] < found[0]["loss"]
    watched = {"rank", "deviation", "projector_rank", "projector_deviation", "grad_norm"}
    assert set(found[0]) >= watched | {"epoch", "parts", "lr", "samples_per_second", "data_wait"}
    assert 0 <= found[0]["data_wait"] <= 1
    assert result.loss == found[-1]["loss"]
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["last.ckpt", "sha256"]
    assert list((tmp_path / "tensorboard").glob("events.*"))
    # one line a row, and none of Lightning's own
    out, err = capsys.readouterr()
    assert [line[:10] for line in out.splitlines()] == ["step 00010", "step 00020", "step 00030"]
    assert err == ""
    # the process is as it was
    assert torch.equal(torch.get_rng_state(), state)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert not parts.encoder._forward_hooks


def test_the_checkpoint_holds_all_state_and_no_code(toy, tmp_path):
    _, parts = toy.run(tmp_path, training={"epochs": 2})
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    for name, value in toy.weights(parts).items():
        assert torch.equal(saved["state_dict"][name], value), name
    assert saved["global_step"] == 10
    assert saved["optimizer_states"][0]["state"]


@pytest.mark.parametrize(
    ("training", "steps", "stopped"),
    [({"epochs": 3, "steps": 4}, 4, "steps"), ({"epochs": 1, "steps": 99}, 5, "epochs"), ({"epochs": 0}, 0, "epochs")],
)
def test_whichever_comes_first(toy, tmp_path, training, steps, stopped):
    result, _ = toy.run(tmp_path, training=training)
    assert (result.steps, result.stopped) == (steps, stopped)


def test_minutes_end_a_run_and_anneal_the_rate(toy, tmp_path):
    options = {"training": {"epochs": 10**6, "minutes": 0.02, "log_every": 1}}
    result, _ = toy.run(tmp_path, **options)
    assert result.stopped == "minutes"
    assert not result.interrupted
    assert result.seconds >= 60 * 0.02
    found = rows(tmp_path)
    assert found[-1]["step"] == result.steps
    assert found[-1]["lr"] < 0.5 * max(row["lr"] for row in found)  # the cosine follows the clock
    again, _ = toy.run(tmp_path, resume=True, **options)
    assert (again.steps, again.stopped) == (result.steps, "minutes")


def test_resume_of_a_finished_run_does_nothing_and_more_epochs_go_on(toy, tmp_path):
    toy.run(tmp_path, training={"epochs": 2})
    again, _ = toy.run(tmp_path, resume=True, training={"epochs": 2})
    assert (again.steps, again.samples_per_second) == (10, 0.0)
    more, _ = toy.run(tmp_path, resume=True, training={"epochs": 3})
    assert more.steps == 15
    assert more.samples_per_second > 0


def test_resume_before_the_first_checkpoint_starts_over(toy, tmp_path):
    stale = tmp_path / "checkpoints" / "last.ckpt.tmp"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"torn")
    result, _ = toy.run(tmp_path, resume=True, training={"epochs": 1})
    assert result.steps == 5
    assert not stale.exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_seeds_decide_everything(toy, tmp_path, workers):
    found = []
    for number, seed in enumerate((3, 3, 4)):
        torch.rand(number + 1)  # the caller's generator has no say
        _, parts = toy.run(tmp_path / str(number), training={"steps": 7, "seed": seed, "workers": workers})
        found.append(toy.weights(parts)["encoder.body.0.weight"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_gradient_caching_takes_the_steps_of_the_whole_batch(toy, tmp_path):
    options = {"batchnorm": False, "dropout": 0.0, "dtype": "float64"}
    _, whole = toy.run(tmp_path / "whole", training={"steps": 8}, **options)
    _, cached = toy.run(tmp_path / "cached", training={"steps": 8, "micro_batch": 5}, **options)
    for name, value in toy.weights(whole).items():
        torch.testing.assert_close(toy.weights(cached)[name], value, rtol=1e-7, atol=1e-7)


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(toy, tmp_path):
    good, _ = toy.run(tmp_path, training={"epochs": 1, "checkpoint_every": 1})
    before = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(RunError, match=r"not finite at step [6-9] \(loss nan, similarity nan\).*--lr.*--resume"):
        toy.run(tmp_path, resume=True, poison=11, training={"epochs": 2, "checkpoint_every": 100})
    assert good.steps == 5
    assert (tmp_path / "checkpoints" / "last.ckpt").read_bytes() == before


def test_collapse_warns_once_and_stops_when_told(toy, tmp_path):
    def collapsing(out, stop):
        parts = toy.toy_parts(training={"epochs": 20, "log_every": 2, "stop_on_collapse": stop})
        last = parts.encoder.body[-1]
        with torch.no_grad():
            last.weight.zero_()
            last.bias.fill_(1.0)
        last.requires_grad_(False)
        return toy.train(parts, out)

    with pytest.warns(UserWarning, match="have collapsed.*encoder.*Likely cause for simclr") as caught:
        result = collapsing(tmp_path / "a", stop=False)
    assert len([w for w in caught if "collapsed" in str(w.message)]) == 1
    assert (result.steps, result.stopped) == (100, "epochs")
    assert "deviation at the encoder" in result.collapse
    with pytest.warns(UserWarning, match="have collapsed"):
        result = collapsing(tmp_path / "b", stop=True)
    assert (result.steps, result.stopped) == (11, "collapse")


def test_online_probe(toy, tmp_path, monkeypatch):
    """It finds the three centers, and leaves no trace in the weights."""
    monkeypatch.setattr(callbacks, "clean_views", lambda domain, spec: toy.CleanViews(spec))
    options = {"epochs": 4, "log_every": 7}
    _, probed = toy.run(tmp_path / "probed", training={**options, "probe_every": 2})
    _, plain = toy.run(tmp_path / "plain", training=options)
    found = [(row["step"], row["knn"]) for row in rows(tmp_path / "probed") if "knn" in row]
    assert [step for step, _ in found] == [10, 20]
    assert found[-1][1] > 0.6  # chance is 1/3
    for name, value in toy.weights(plain).items():
        assert torch.equal(toy.weights(probed)[name], value), name


def test_unreadable_samples_are_told_and_too_many_end_the_run(toy, tmp_path, capsys):
    parts = toy.toy_parts(training={"epochs": 1})
    told = iter([["skipped a.png: truncated"]])
    parts.data.report = lambda batch: next(told, [])
    toy.train(parts, tmp_path)
    assert capsys.readouterr().out.splitlines()[0] == "skipped a.png: truncated"

    def refuse(batch):
        raise UsageError("40 of 80 images cannot be read")

    parts.data.report = refuse
    with pytest.raises(UsageError, match="40 of 80"):
        toy.train(parts, tmp_path / "b")


def test_views_that_the_encoder_refuses_are_told_before_there_is_a_folder(toy, tmp_path):
    parts = toy.toy_parts()
    parts.config.parts.update(encoder=toy.Choice("mlp"), views=toy.Choice("noise"))
    parts.encoder.register_forward_pre_hook(refuse_view)
    with pytest.raises(UsageError, match="encoder 'mlp' cannot read what views 'noise' make: no such pictures"):
        check(parts, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def refuse_view(encoder, inputs):
    raise ValueError("no such pictures")


def test_refusals(toy, tmp_path):
    for training, message in [
        ({"batch_size": 128}, "the data has 80 samples to train on, fewer than one batch of 128"),
        ({"accelerator": "quantum"}, "lightning refuses accelerator 'quantum'"),
        ({"strategy": "telepathy"}, "strategy 'telepathy'"),
        ({"precision": "7-bit"}, "precision '7-bit'"),
        ({"micro_batch": 4}, "gradient caching"),
    ]:
        with pytest.raises(UsageError, match=message):
            toy.run(tmp_path, training=training)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_damaged_checkpoint_and_one_of_another_model_are_refused(toy, tmp_path):
    toy.run(tmp_path, training={"epochs": 1})
    with pytest.raises(UsageError, match="is of another model than this config builds"):
        toy.run(tmp_path, resume=True, queue=64, training={"epochs": 2})
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(UsageError, match=r"cannot resume from .*last\.ckpt"):
        toy.run(tmp_path, resume=True, training={"epochs": 2})


def test_step_seeds_do_not_repeat():
    grid = [(s, step, micro, rank) for s in range(3) for step in range(50) for micro in range(3) for rank in range(4)]
    assert len({step_seed(*address) & 0xFFFFFFFF for address in grid}) == len(grid)
    assert all(0 <= step_seed(*address) < 1 << 63 for address in grid)
