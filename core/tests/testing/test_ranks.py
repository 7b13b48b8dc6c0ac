"""Ranks return their results in order, and an error on one is raised with its cause."""

import os

import pytest
import torch

from unlabeled.nn.distributed import gather, rank, world
from unlabeled.testing.ranks import run_ranks


def report(factor):
    return {"rank": rank(), "world": world(), "all": gather(torch.tensor([factor * rank()])), "missing": None}


def process():
    return os.getpid()


def environment(name):
    return os.environ.get(name)


def die():
    os._exit(3)


def fail():
    if rank() == 1:
        raise ValueError("rank 1 has had enough")
    gather(torch.zeros(1))  # waits for rank 1


def test_results_come_in_rank_order():
    found = run_ranks(report, 2, 10)
    assert [f["rank"] for f in found] == [0, 1]
    for result in found:
        assert (result["world"], result["all"].tolist(), result["missing"]) == (2, [0, 10], None)


def test_an_error_is_raised_with_its_cause():
    with pytest.raises(RuntimeError, match="rank 1 has had enough"):
        run_ranks(fail)


def test_a_nested_function_is_refused():
    def nested():
        return 0

    with pytest.raises(AssertionError, match="not at the top level of its file"):
        run_ranks(nested)


@pytest.mark.slow  # starts processes anew
def test_processes_are_kept_and_renewed_after_an_error():
    first = run_ranks(process)
    assert run_ranks(process) == first
    with pytest.raises(RuntimeError, match=r"rank [01] of 2 failed"):
        run_ranks(fail)
    assert not set(run_ranks(process)) & set(first)


@pytest.mark.slow  # starts processes anew
def test_a_new_environment_reaches_the_ranks(monkeypatch):
    assert run_ranks(environment, 2, "RANKS_TEST") == [None, None]
    monkeypatch.setenv("RANKS_TEST", "here")
    assert run_ranks(environment, 2, "RANKS_TEST") == ["here", "here"]


@pytest.mark.slow  # starts processes anew
def test_a_process_that_dies_is_told():
    with pytest.raises(RuntimeError, match="died without a word"):
        run_ranks(die)
