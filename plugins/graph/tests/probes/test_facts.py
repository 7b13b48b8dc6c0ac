"""Held-out facts: filtered ranks by hand, and features that know the answer beat those that do not."""

import torch
import torch.nn.functional as F

from unlabeled.contract import Features
from unlabeled.probes.frozen import Frozen
from unlabeled_graph.data.files import files
from unlabeled_graph.data.karate import Karate
from unlabeled_graph.probes.facts import Facts, both_ways, ranks, threshold, truths
from unlabeled_graph.views.standard import Clean


def test_ranks_leave_out_what_is_true():
    score, tail = torch.tensor([[0.9, 0.5, 0.7, 0.5]]), torch.tensor([1])
    none, first = torch.zeros(1, 4, dtype=torch.bool), torch.tensor([[True, True, False, False]])
    assert ranks(score, tail, none).tolist() == [3.5], "0.9 and 0.7 are before it, another is as good"
    assert ranks(score, tail, first).tolist() == [2.5]


def test_truths_are_all_known_tails():
    known = torch.tensor([[0, 0, 1], [0, 0, 2], [0, 1, 3], [1, 0, 2]])
    found = truths(torch.tensor([[0, 0, 2], [0, 1, 3], [0, 0, 3]]), known, 4)
    assert found.int().tolist() == [[0, 1, 1, 0], [0, 0, 0, 1], [0, 1, 1, 0]]
    assert both_ways(torch.tensor([[0, 1, 2]]), 3).tolist() == [[0, 1, 2], [2, 4, 0]]


def test_the_threshold_tells_most_apart():
    assert 1.0 <= threshold(torch.tensor([3.0, 2.0, 1.5]), torch.tensor([-1.0, 1.0, 0.0])) < 2.0


class Known(torch.nn.Module):
    """Gives each entity this vector."""

    def __init__(self, x):
        super().__init__()
        self.dim, self.x = x.shape[1], x

    def layout(self, batch):
        return batch.layout

    def forward(self, view, **more):
        return Features(self.x, view.batch.layout, view.batch.pooled(self.x))


def test_features_that_know_the_groups_rank_the_facts(tmp_path):
    pairs = [(a, b) for a in range(24) for b in range(24) if a < b and a % 4 == b % 4]
    lines = [f"{a}\tlike\t{b}\n" for a, b in pairs]
    (tmp_path / "train.txt").write_text("".join(line for n, line in enumerate(lines) if n % 5))
    (tmp_path / "test.txt").write_text("".join(lines[::5]))
    data, probe, ids = files(str(tmp_path), 0.0), Facts(), torch.arange(24)
    assert probe.applies(data)
    assert not probe.applies(Karate())
    group = torch.tensor([int(name) % 4 for name in data.names])
    noise = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
    known, ask = Known(F.one_hot(group, 4).float()), (data, Clean(data.spec), ids, ids)
    good, poor = (probe(Frozen(encoder, "untrained", *ask)) for encoder in (known, Known(noise)))
    assert good["mrr"] > poor["mrr"] + 0.1
    assert good["told"] > max(0.8, poor["told"] + 0.1)
    assert good["hits10"] == 1.0
