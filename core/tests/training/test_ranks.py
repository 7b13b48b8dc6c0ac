"""A run on two ranks takes the steps of a run on one: order, views, BatchNorm, loss, gradients, optimizer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("toy_training.py")
TWO = {"devices": 2, "strategy": "ddp"}


def job(training, **options):
    return {"training": {"log_every": 1, **training}, "dropout": 0.0, **options}


def run_all(base, jobs):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "UNLABELED_PLUGINS": ""}
    command = [sys.executable, "-W", "error", str(SCRIPT), str(base), json.dumps(jobs)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    base = tmp_path_factory.mktemp("ranks")
    # with SGD at rate 1, one step is the gradient
    gradient = {"optimizer": "sgd", "schedule": "constant", "lr": 1.0}
    exact = {"dtype": "float64", "lr": 0.01}
    cached = {"dtype": "float64", "lr": 0.01, "batchnorm": False}
    jobs = [
        ("gradient1", job({"steps": 1}, **gradient)),
        ("gradient2", {**job({"steps": 1, **TWO}, **gradient), "ranks": 2}),
        ("exact1", job({"steps": 12, "accumulate": 2}, **exact)),
        ("exact2", {**job({"steps": 12, "accumulate": 2, **TWO}, **exact), "ranks": 2}),
        ("cached1", job({"steps": 12}, **cached)),
        ("cached2", {**job({"steps": 12, "micro_batch": 3, **TWO}, **cached), "ranks": 2}),
    ]
    run_all(base, jobs)
    return base


def compare(one, two, tolerance):
    a, b = (torch.load(folder / "weights.pt", weights_only=True) for folder in (one, two))
    assert list(a) == list(b)
    for name in a:
        torch.testing.assert_close(b[name], a[name], rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("gradient", 3e-6), ("exact", 1e-7), ("cached", 1e-7)],  # float32; float64; float64 with gradient caching
)
def test_two_ranks_equal_one(name, tolerance, runs):
    one, two = runs / f"{name}1", runs / f"{name}2"
    assert (runs / f"{name}2.txt").read_text() == "EXIT 0\nEXIT 0\n"
    assert losses(two) == pytest.approx(losses(one), rel=1e-6)
    compare(one, two, tolerance)


@pytest.mark.slow
def test_lightning_launches_the_second_rank(runs, tmp_path):
    gradient = {"optimizer": "sgd", "schedule": "constant", "lr": 1.0}
    run_all(tmp_path, [("launched", job({"steps": 1, **TWO}, **gradient))])
    compare(runs / "gradient1", tmp_path / "launched", 3e-6)
