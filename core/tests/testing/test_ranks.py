"""Ranks return their results in order, and an error on one is raised with its cause."""

import pytest
import torch
from torch.multiprocessing import ProcessRaisedException

from unlabeled.distributed import gather, rank, world
from unlabeled.testing.ranks import run_ranks


def report(factor):
    return {"rank": rank(), "world": world(), "all": gather(torch.tensor([factor * rank()])), "missing": None}


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
    with pytest.raises(ProcessRaisedException, match=r"rank 1 has had enough|Connection closed by peer"):
        run_ranks(fail)


def test_a_nested_function_is_refused():
    def nested():
        return 0

    with pytest.raises(AssertionError, match="not at the top level of its file"):
        run_ranks(nested)
