"""Fine-tuning: its schedule, that it learns, and that it leaves the run's encoder as it is."""

import csv
import itertools
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import unlabeled
from unlabeled.probes.splits import split
from unlabeled.runs import finetune as finetune_module
from unlabeled.runs.finetune import factor
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
    real = finetune_module.score

    def spy(model, data, views, ids, *rest):
        asked.append(ids)
        return real(model, data, views, ids, *rest)

    monkeypatch.setattr(finetune_module, "score", spy)
    unlabeled.finetune(fresh, data, epochs=3, batch_size=16, patience=1)
    assert any(ids.tolist() == list(range(8)) for ids in asked)
    assert [ids.tolist() for ids in asked if data.test[ids].any()] == [list(range(48, 64))] * 2  # once a row


def test_a_val_side_of_train_tears_no_group(fresh):
    data = fresh.data()
    data.groups = [str(n // 8) for n in range(64)]
    train, val = finetune_module._with_val(data, torch.arange(48), 0)
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
