from pathlib import Path

import pytest
import torch

from unlabeled.build import build_data, build_encoder
from unlabeled.cli.main import main
from unlabeled.config.run import resolve
from unlabeled.contract import Embedded
from unlabeled.plugins import registry as plugins
from unlabeled.probes.evaluate import evaluate
from unlabeled.probes.frozen import Frozen


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("UNLABELED_PLUGINS", "")
    files = tuple(str(Path(__file__).with_name(name)) for name in ("toy.py", "deep.py"))
    monkeypatch.setattr(plugins, "_files", files)
    plugins.registry.cache_clear()

    def make(seeds=(0, 1, 2), **data):
        config = resolve({"domain": "toy", "data": data})
        found = build_data(config)
        return evaluate(config, build_encoder(config, found.spec), found, seeds=seeds)

    yield make
    plugins.registry.cache_clear()


def test_every_baseline_that_applies_is_a_row_and_the_default_is_first(run):
    table = run(fixed=True)
    assert [(row.kind, row.name) for row in table.rows] == [
        ("chance", ""),
        ("no model", "raw"),
        ("no model", "centered"),
        ("untrained", "net"),
        ("pre-trained", "net"),
    ]
    raw, centered = table.rows[1:3]
    assert raw.numbers["linear.accuracy@all"].values == centered.numbers["linear.accuracy@all"].values
    assert raw.numbers["knn.accuracy@all"].mean > table.rows[0].numbers["knn.accuracy@all"].mean


def test_a_probe_that_reads_the_encoder_scores_every_row(run):
    table = run(fixed=True)
    found = [row.numbers["neighbours.accuracy"] for row in table.rows]
    assert found[0].values == (0.5,)
    assert [len(number.values) for number in found] == [1, 1, 1, 3, 1]  # the untrained has 3 initial weights
    column = next(c for c in table.columns if c.key == "neighbours.accuracy")
    assert (column.n_train, column.n_test) == (100, 50)
    assert table.specs["neighbours"].startswith("neighbours-v1:")


def test_kinds_and_draws(run):
    table = run(fixed=True)
    has = [("token_norm.norm" in row.numbers) for row in table.rows]
    assert has == [False, False, False, True, True]
    norm = table.rows[-1].numbers["token_norm.norm"].values
    torch.testing.assert_close(torch.tensor(norm) - torch.arange(3.0), torch.tensor([norm[0]] * 3))


def test_what_does_not_apply_is_not_asked(run):
    table = run(fixed=True)
    assert "never" not in table.specs
    assert not any("never" in row.numbers for row in table.rows)


def test_without_labels_such_a_probe_still_has_its_baselines(run):
    table = run(labeled=False, fixed=True)
    assert [row.kind for row in table.rows] == ["chance", "no model", "no model", "untrained", "pre-trained"]
    assert set(table.rows[1].numbers) == {"neighbours.accuracy"}
    assert set(table.rows[0].numbers) == {"neighbours.accuracy"}


def test_a_split_by_seed_is_asked_with_every_seed(run):
    table = run()
    assert [len(row.numbers["neighbours.accuracy"].values) for row in table.rows[1:]] == [3, 3, 3, 3]


def test_columns_of_one_name_are_told_apart(run):
    block = next(b for b in run(fixed=True).blocks() if b.title == "scored on test")
    assert len(set(block.heads)) == len(block.heads)


def test_a_command_of_a_domain(monkeypatch, capsys):
    monkeypatch.setenv("UNLABELED_PLUGINS", "")
    plugin = [word for name in ("toy.py", "deep.py") for word in ("--plugin", str(Path(__file__).with_name(name)))]
    assert main([*plugin, "toy", "count", "a", "b"]) == 0
    assert capsys.readouterr().out == "toy 2\n"
    assert main([*plugin, "toy", "--help"]) == 0
    assert "a command of another plugin" in capsys.readouterr().out
    assert main([*plugin, "toy", "coumt"]) == 2
    assert "count" in capsys.readouterr().err
    plugins.use_files([])
    plugins.registry.cache_clear()


def test_known_features_are_taken_by_id_and_not_computed_again():
    known = Embedded(torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 2]), torch.tensor([4, 1, 3]))
    frozen = Frozen(None, "no model", [None] * 6, None, torch.tensor([4]), torch.tensor([1]), known=known)
    found = frozen.embed(torch.tensor([3, 0, 4]))  # 0 could not be read
    assert found.x.tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert found.y.tolist() == [2, 0]
    assert found.ids.tolist() == [3, 4]
    assert frozen.embed() is known
