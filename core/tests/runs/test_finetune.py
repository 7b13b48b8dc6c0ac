"""Fine-tuning: its schedule, that it learns, and that it leaves the run's encoder as it is."""

import csv
import itertools
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import unlabeled
from unlabeled.contract import Targets
from unlabeled.probes.linear import Linear
from unlabeled.probes.splits import split
from unlabeled.runs import finetune as finetune_module
from unlabeled.runs import fit as fitting
from unlabeled.runs.fit import factor, with_val
from unlabeled.runs.kept import affine
from unlabeled.runs.task import of_choices, task_of
from unlabeled.runs.tuning import depths, freeze, groups, train_mode


def test_the_rate_rises_then_falls():
    rates = [factor(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert 0 < rates[-1] < 1e-3


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_few_steps_have_a_rate(steps):
    assert all(0 < factor(step, steps) <= 1 for step in range(steps))


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_it_learns_and_leaves_the_encoder(toy, norm):
    run = unlabeled.pretrain(
        "toy", out="run", epochs=0, batch_size=16, tensorboard=False, encoder={"norm": norm}, say=lambda line: None
    )
    before = {name: value.clone() for name, value in run.encoder.state_dict().items()}
    state = torch.get_rng_state()
    found = unlabeled.finetune(run, epochs=20, batch_size=16, lr=0.01)
    assert torch.equal(torch.get_rng_state(), state)
    assert (found.train, found.test, found.classes) == (51, 13, 4)
    assert found.chance < 0.5
    assert min(found.accuracy["pre-trained"] + found.accuracy["from scratch"]) > 0.7
    for name, value in run.encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not run.encoder.training


def test_views_by_name(toy):
    run = unlabeled.pretrain("toy", out="run", epochs=0, batch_size=16, tensorboard=False, say=lambda line: None)
    found = unlabeled.finetune(run, epochs=1, batch_size=16, views="noise")
    assert "views noise" in found.text()


@pytest.fixture
def fresh(toy):
    return unlabeled.pretrain(
        "toy", out="run", epochs=0, batch_size=16, tensorboard=False, encoder={"depth": 2}, say=lambda line: None
    )


def changed(run, tuned):
    before, after = run.encoder.state_dict(), tuned.encoder.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_the_tuned_model_is_a_run_that_predicts(fresh):
    found = unlabeled.finetune(fresh, epochs=20, batch_size=16, lr=0.01, out="tuned")
    tuned = unlabeled.load("tuned")
    assert changed(fresh, tuned)
    assert tuned.info["provenance"]["finetuned"]["from"] == "run"
    assert "fine-tuned on labels" in Path("tuned/encoder/README.md").read_text()
    got = unlabeled.predict("tuned", out="p.csv")
    rows = list(csv.DictReader(Path("p.csv").read_text().splitlines()))
    assert len(rows) == 64
    assert list(rows[0]) == ["id", "predicted", "p_a", "p_b", "p_c", "p_d", "bad"]
    assert sum(float(rows[5][f"p_{name}"]) for name in "abcd") == pytest.approx(1)
    _, test = split(fresh.data(), torch.arange(64), 0)
    right = [got.columns["predicted"][n] == "abcd"[n % 4] for n in test.tolist()]
    assert sum(right) / len(right) == pytest.approx(found.accuracy["pre-trained"][0])


@pytest.mark.parametrize(("what", "kept"), [("all", 2), ("1", 1)])
def test_frozen_layers_stay(fresh, what, kept):
    unlabeled.finetune(fresh, epochs=2, batch_size=16, freeze=what, out="tuned")
    depth = depths(fresh.encoder)
    assert max(depth.values()) == 2
    moved = changed(fresh, unlabeled.load("tuned"))
    assert all(depth[name] > kept for name in moved)
    assert bool(moved) == (what != "all")


def test_frozen_norms_keep_their_statistics():
    model = nn.ModuleDict({"blocks": nn.ModuleList([nn.BatchNorm1d(2), nn.Linear(2, 2)])})
    freeze(model, "1")
    train_mode(model)
    assert [block.training for block in model["blocks"]] == [False, True]


def test_rates_fall_with_depth():
    encoder = nn.ModuleDict({"stem": nn.Linear(2, 2), "blocks": nn.ModuleList(nn.Linear(2, 2) for _ in range(3))})
    made = groups(encoder, nn.Linear(2, 2), layer_decay=0.5, head_scale=4.0)
    assert sorted({group["scale"] for group in made}) == [0.0625, 0.125, 0.25, 0.5, 4.0]


def test_lists_side_by_side_share_depths():
    encoder = nn.Module()
    encoder.convs, encoder.norms = (nn.ModuleList(nn.Linear(2, 2) for _ in range(2)) for _ in range(2))
    assert {n: d for n, d in depths(encoder).items() if "weight" in n} == {
        "convs.0.weight": 1, "convs.1.weight": 2, "norms.0.weight": 1, "norms.1.weight": 2
    }  # fmt: skip


def test_lora_is_merged(fresh):
    found = unlabeled.finetune(fresh, epochs=5, batch_size=16, lr=0.01, lora_rank=2, out="tuned")
    moved = changed(fresh, unlabeled.load("tuned"))
    linear = {f"{name}.weight" for name, module in fresh.encoder.named_modules() if type(module) is nn.Linear}
    assert moved
    assert moved <= linear
    assert "lora rank 2" in found.text()


def test_without_peft(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(unlabeled.PluginError, match=r"pip install 'unlabeled\[lora\]'"):
        unlabeled.finetune(fresh, lora_rank=2)


def test_early_stopping_reads_val_and_never_test(fresh, monkeypatch):
    data = fresh.data()
    data.val = torch.arange(64) < 8
    data.test = torch.arange(64) >= 48
    asked = []
    real = fitting.score

    def spy(model, on, ids, *rest):
        asked.append(ids)
        return real(model, on, ids, *rest)

    monkeypatch.setattr(fitting, "score", spy)
    monkeypatch.setattr(finetune_module, "score", spy)
    unlabeled.finetune(fresh, data, epochs=3, batch_size=16, patience=1)
    assert any(ids.tolist() == list(range(8)) for ids in asked)
    assert [ids.tolist() for ids in asked if data.test[ids].any()] == [list(range(48, 64))] * 2  # once a row


def test_a_val_side_of_train_tears_no_group(fresh):
    data = fresh.data()
    data.groups = [str(n // 8) for n in range(64)]
    train, val = with_val(SimpleNamespace(data=data, task=task_of(data)), torch.arange(48), 0)
    assert len(val)
    assert not {data.groups[n] for n in train.tolist()} & {data.groups[n] for n in val.tolist()}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"freeze": "9"}, "a number of layers up to 2"),
        ({"freeze": "some"}, "none, all, or a number"),
        ({"layer_decay": 0.0}, r"layer_decay is 0.0; it must be in \(0, 1\]"),
        ({"lora_rank": -1}, "lora_rank is -1"),
        ({"lora_rank": 2, "freeze": "all"}, "leave freeze out"),
        ({"out": "run"}, "not empty"),
    ],
)
def test_mistakes(fresh, given, message):
    with pytest.raises(unlabeled.UsageError, match=message):
        unlabeled.finetune(fresh, epochs=1, **given)


def test_a_run_without_a_head_says_what_makes_one(fresh):
    with pytest.raises(unlabeled.UsageError, match="unlabeled toy finetune run --data LABELED --out FOLDER"):
        unlabeled.predict(fresh)


class TestTargets:
    @pytest.fixture
    def data(self, fresh):
        """The number of the center that a sample stands at, and which of two halves it is in; some are unknown."""
        data = fresh.data()
        data.number = data.labels.float() * 100 + 1000
        data.number[::9] = torch.nan
        return data

    def test_numbers(self, fresh, data):
        data.targets = Targets(data.number[:, None], ("height",), "regression")
        found = unlabeled.finetune(fresh, data, epochs=40, batch_size=16, lr=0.01, learn="targets", out="tuned")
        assert set(found.scores) == {"rmse", "mae", "r2", "spearman"}
        assert found.scores["r2"]["pre-trained"][0] > 0.8, found.text()
        assert found.guess["rmse"] > 90
        assert "squared error" in found.text()
        got = unlabeled.predict("tuned", data, out="p.jsonl")
        assert list(got.columns) == ["id", "predicted_height", "bad"]
        rows = [json.loads(line) for line in Path("p.jsonl").read_text().splitlines()]
        assert [row["predicted_height"] for row in rows] == got.columns["predicted_height"]
        known = ~data.number.isnan()
        error = torch.tensor(got.columns["predicted_height"])[known] - data.number[known]
        assert error.square().mean().sqrt() < 60, "in the units of the targets"

    def test_several_labels_with_early_stopping_on_val(self, fresh, data):
        values = torch.stack((data.labels >= 2, data.labels % 2 == 1), 1).float()
        values[::5, 0] = torch.nan
        data.targets, data.labels = Targets(values, ("far", "odd"), "multilabel"), None
        found = unlabeled.finetune(fresh, data, epochs=30, batch_size=16, lr=0.01, patience=10, out="tuned")
        assert set(found.scores) == {"map", "auc"}
        assert found.scores["auc"]["pre-trained"][0] > 0.7, found.text()
        got = unlabeled.predict("tuned", data).columns
        assert list(got) == ["id", "predicted", "p_far", "p_odd", "bad"]
        both = [n for n in range(64) if got["p_far"][n] >= 0.5 and got["p_odd"][n] >= 0.5]
        assert both
        assert {got["predicted"][n] for n in both} == {"far|odd"}

    def test_what_is_not_known_is_in_no_loss(self, fresh, data):
        data.targets = Targets(data.number[:, None].repeat(1, 2), ("a", "b"), "regression")
        task = task_of(data, "targets")
        ids = torch.tensor([0, 1])
        out = torch.tensor([[5.0, 5.0], [2.0, 4.0]])
        units = (torch.tensor([1000.0, 1000.0]), torch.tensor([100.0, 100.0]))
        assert task.loss(out, ids, units).item() == pytest.approx(((2 - 1) ** 2 + (4 - 1) ** 2) / 2)
        assert task.known.tolist() == [n % 9 > 0 for n in range(64)]

    def test_classes_go_first_and_say_so(self, fresh, data):
        data.targets = Targets(data.number[:, None], ("height",), "regression")
        found = unlabeled.finetune(fresh, data, epochs=1, batch_size=16)
        assert found.kind == "classes"
        assert "--learn targets learns those" in found.text()


class TestKeptHead:
    @pytest.mark.parametrize("kind", ["classes", "multilabel", "regression"])
    def test_predicts_what_the_probe_does(self, fresh, kind):
        data = fresh.data()
        if kind != "classes":
            values = data.labels[:, None] * 100.0 + 1000 if kind == "regression" else (data.labels[:, None] > 1).float()
            data.targets, data.labels = Targets(values, ("it",), kind), None
        lines = []
        unlabeled.probe(fresh, data, seeds=(0,), baselines=("none",), keep=True, say=lines.append)
        assert "predict uses it" in lines[-1]
        got = unlabeled.predict("run", data).columns
        _, test = split(data, torch.arange(64), 0)
        if kind == "classes":
            features = fresh.embedded(data)
            sides = [replace(features, x=features.x[s], y=features.y[s]) for s in split(data, torch.arange(64), 0)]
            guess, _ = Linear().predict(*sides)
            assert [got["predicted"][n] for n in test.tolist()] == ["abcd"[k] for k in guess.tolist()]
        else:
            found = torch.tensor(got["predicted_it" if kind == "regression" else "p_it"])
            assert (found - data.targets.values[:, 0]).abs().mean() < (60 if kind == "regression" else 0.25)
        unlabeled.pretrain("toy", out="run", resume=True, epochs=1, say=lambda line: None)
        assert not Path("run/head.json").exists(), "another encoder needs another head"

    def test_never_goes_over_a_fine_tuned_one(self, fresh):
        unlabeled.finetune(fresh, epochs=1, batch_size=16, out="tuned")
        with pytest.raises(unlabeled.UsageError, match="leave out --keep"):
            unlabeled.probe("tuned", keep=True)


def test_an_affine_map_is_found_far_from_zero():
    x = torch.randn(50, 6) * torch.tensor([1e-3, 1.0, 1e3, 1.0, 1.0, 1.0]) + 100
    weight, bias = torch.randn(3, 6, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    found = affine(lambda other: other.double() @ weight.T + bias, x)
    torch.testing.assert_close(found.weight.double(), weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found(x).double(), x.double() @ weight.T + bias, rtol=1e-3, atol=1e-2)


def test_choices_share_one_softmax():
    """A question is named by its first sample; its choices stand together, wherever the data has them."""
    data = SimpleNamespace(choices=torch.tensor([[4, 1], [2, 5]]), answers=torch.tensor([1, 0]))
    task = of_choices(data, 6)
    assert (task.kind, task.known.nonzero()[:, 0].tolist()) == ("choices", [2, 4])
    assert task.read(torch.tensor([4, 2])).tolist() == [4, 1, 2, 5]
    out = torch.tensor([[0.0], [2.0], [5.0], [3.0]])
    read = torch.tensor([4, 1, 2, 5])
    assert task.loss(out, read, task.units(read)).item() == pytest.approx(math.log1p(math.exp(-2)), rel=1e-5)
    assert task.scores(out, read) == {"accuracy": 1.0}
    assert task.scores(-out, read) == {"accuracy": 0.0}
    assert task.chance(read, read) == {"accuracy": 0.5}
