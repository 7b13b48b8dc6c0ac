"""A run that is killed and resumed ends with the weights of one that was not, bit for bit."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("toy_training.py")
STEPS = 23  # of 5 an epoch, so that kills fall within and at the end of epochs
CASES = [(0, 1), (0, 2), (2, 1), (2, 2)]  # workers, accumulate


def job(workers=0, accumulate=1, log_every=1):
    training = {"steps": STEPS, "log_every": log_every, "checkpoint_every": 3}
    return {"training": {**training, "workers": workers, "accumulate": accumulate}}


def killed(workers, accumulate):
    """Kills before the first checkpoint, at the one that ends the third epoch, and anywhere; then on to the end."""
    chance = random.Random(10 * workers + accumulate)
    jobs = [{**job(workers, accumulate), "resume": n > 0} for n in range(4)]
    for one, lines in zip(jobs, [2, 15, chance.randint(2, 5)], strict=False):
        one["signal_after"] = [lines, signal.SIGKILL, chance.uniform(0, 0.01)]
    return jobs


def run_all(base, jobs):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "UNLABELED_PLUGINS": ""}
    command = [sys.executable, "-W", "error", str(SCRIPT), str(base), json.dumps(jobs)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Every run of this file, in forks of one process, since importing torch takes longer than any of them."""
    base = tmp_path_factory.mktemp("runs")
    jobs = [(f"whole{accumulate}", job(0, accumulate)) for accumulate in (1, 2)]
    for workers, accumulate in CASES:
        jobs += [(f"killed{workers}{accumulate}", one) for one in killed(workers, accumulate)]
    jobs += [("rows", job(log_every=4))]
    jobs += [("rows_killed", {**job(log_every=4), "signal_after": [2, signal.SIGKILL, 0.003]})]
    jobs += [("rows_killed", {**job(log_every=4), "resume": True})]
    for number in (signal.SIGINT, signal.SIGTERM):
        jobs += [(f"signal{number}", {**job(2), "signal_after": [4, number, 0.0]})]
        jobs += [(f"signal{number}", {**job(2), "resume": True})]
    run_all(base, jobs)
    return base


def changed(found, expected):
    """Names of weights and buffers that differ in any bit."""
    a, b = (torch.load(folder / "weights.pt", weights_only=True) for folder in (found, expected))
    assert list(a) == list(b)
    return [name for name in a if not torch.equal(a[name], b[name])]


def rows(folder):
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["epoch"], row["loss"], row["parts"], row["lr"], row["grad_norm"]) for row in found]


@pytest.mark.parametrize(("workers", "accumulate"), CASES)
def test_killed_and_resumed_equals_never_killed(workers, accumulate, runs):
    text = (runs / f"killed{workers}{accumulate}.txt").read_text()
    assert text.count("EXIT -9") == 3, text
    assert text.count("EXIT 0") == 1, text
    assert changed(runs / f"killed{workers}{accumulate}", runs / f"whole{accumulate}") == []


def test_accumulation_changes_the_weights(runs):
    """The comparison above could fail."""
    assert "encoder.body.0.weight" in changed(runs / "whole1", runs / "whole2")


def test_log_rows_of_a_killed_run_equal_those_of_one_that_was_not(runs):
    """Each step once, with the same loss, also where the checkpoint fell between two rows."""
    expected = rows(runs / "rows")
    assert [row[0] for row in expected] == [4, 8, 12, 16, 20, 23]
    assert "EXIT -9" in (runs / "rows_killed.txt").read_text()
    assert rows(runs / "rows_killed") == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends_cleanly(number, runs):
    first, second = (runs / f"signal{number}.txt").read_text().split("EXIT 0\n")[:2]
    result = json.loads(first.split("RESULT ")[1].splitlines()[0])
    assert result["interrupted"]
    assert result["stopped"] == "interrupted"
    assert 4 <= result["steps"] < STEPS
    # it goes on at the very next step: the checkpoint is of the last one
    assert f"step {result['steps'] + 1:05d}/" in second.splitlines()[0]
    assert changed(runs / f"signal{number}", runs / "whole1") == []
