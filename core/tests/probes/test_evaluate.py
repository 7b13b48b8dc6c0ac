import pytest
import torch

from unlabeled.build import build_data, build_encoder
from unlabeled.config.run import resolve
from unlabeled.contract import Targets
from unlabeled.errors import UsageError
from unlabeled.probes import embedding as evaluating
from unlabeled.probes import linear
from unlabeled.probes.asked import Chosen
from unlabeled.probes.evaluate import evaluate
from unlabeled.probes.splits import LABELS
from unlabeled.probes.table import KINDS

FREE = {"rankme.rankme", "lidar.lidar", "alignment.alignment", "alignment.uniformity", "deviation.deviation"}
CLUSTERS = {"kmeans.nmi", "kmeans.ari"}
ACCURACIES = {
    f"{probe}.{number}@{labels}"
    for probe in ("knn", "linear")
    for number in ("accuracy", "macro_f1")
    for labels in LABELS
}


@pytest.fixture
def run(toy):
    def make(data=None, encoder=None, seeds=(0, 1, 2), **options):
        config = resolve({"domain": "toy", "data": data or {}, "encoder": encoder or {}})
        found = build_data(config)
        return evaluate(config, build_encoder(config, found.spec), found, seeds=seeds, **options)

    return make


def test_every_row_and_number(run):
    table = run()
    assert tuple(row.kind for row in table.rows) == KINDS
    chance, baseline, untrained, trained = (set(row.numbers) for row in table.rows)
    assert chance == ACCURACIES
    assert baseline == ACCURACIES | CLUSTERS
    assert untrained == trained == ACCURACIES | CLUSTERS | FREE
    assert {c.key for c in table.columns} == ACCURACIES | CLUSTERS | FREE
    assert set(table.specs) == {"knn", "linear", "rankme", "lidar", "alignment", "deviation", "kmeans"}
    assert all(table.specs[c.probe].startswith(c.spec) for c in table.columns)
    assert {"unlabeled", "torch", "scikit-learn"} <= set(table.versions)


def test_counts_of_labels(run):
    table = run()
    counts = {c.key: (c.n_train, c.n_test) for c in table.columns}
    assert counts["knn.accuracy@10 per class"] == (30, 30)
    assert counts["knn.accuracy@1 %"] == (3, 30)
    assert counts["linear.accuracy@10 %"] == (12, 30)
    assert counts["linear.accuracy@all"] == (120, 30)
    assert counts["rankme.rankme"] == (120, 0)


def test_unlabeled_samples_count_in_no_score(toy):
    config = resolve({"domain": "toy"})
    data = build_data(config)
    data.labels[torch.arange(150) % 2 == 0] = -1
    table = evaluate(config, build_encoder(config, data.spec), data, seeds=(0,))
    counts = {c.key: (c.n_train, c.n_test) for c in table.columns}
    assert counts["linear.accuracy@all"] == counts["kmeans.nmi"] == (60, 15)
    assert counts["rankme.rankme"] == (120, 0)


def test_seeds_where_something_is_drawn(run):
    drawn, fixed = run(), run({"fixed": True})
    for table, whole in ((drawn, 3), (fixed, 1)):
        trained, untrained = table.row("pre-trained").numbers, table.row("untrained").numbers
        assert len(trained["knn.accuracy@10 %"].values) == 3
        assert len(trained["knn.accuracy@all"].values) == whole
        assert len(trained["rankme.rankme"].values) == 1
        assert {len(n.values) for n in untrained.values()} == {3}
    assert "own split" in fixed.data["split"]
    assert any("pre-training may have seen" in note for note in drawn.notes)
    assert not any("pre-training may have seen" in note for note in fixed.notes)


def test_folds_give_a_number_each(run):
    table = run(folds=3)
    for row in ("pre-trained", "untrained", "no model"):
        assert len(table.row(row).numbers["linear.accuracy@all"].values) == 3
    assert table.data["test"] == 50
    assert "stratified 3 folds" in table.data["split"]
    assert "deviation over folds 0, 1, 2" in table.text()
    assert any("numbers over 3 folds" in note for note in table.notes)
    with pytest.raises(UsageError, match="the data fixes its split, and folds would mix it: no --folds"):
        run({"fixed": True}, folds=3)
    with pytest.raises(UsageError, match="--folds is 1; it must be at least 2"):
        run(folds=1)
    with pytest.raises(UsageError, match="--quick reads one fold, and --folds asks for 3"):
        run(folds=3, chosen=Chosen(quick=True))


def test_folds_of_the_data_are_taken_unasked(toy):
    config = resolve({"domain": "toy"})
    data = build_data(config)
    data.folds = torch.arange(len(data)) % 2
    encoder = build_encoder(config, data.spec)
    table = evaluate(config, encoder, data)
    assert "the data's own 2 folds" in table.data["split"]
    assert len(table.row("pre-trained").numbers["linear.accuracy@all"].values) == 2
    with pytest.raises(UsageError, match="the data has 2 folds of its own, and --folds is 5"):
        evaluate(config, encoder, data, folds=5)


def test_same_call_same_table(run):
    assert run(batch_size=150) == run(batch_size=150)


def test_batch_size_moves_no_number(run):
    a, b = run(seeds=(0,), batch_size=11).row("pre-trained"), run(seeds=(0,)).row("pre-trained")
    for key, number in a.numbers.items():
        assert number.mean == pytest.approx(b.numbers[key].mean, rel=1e-3), key


def test_untrained_weights_differ_from_the_runs_and_by_seed(run):
    table = run(seeds=(0, 1))
    values = [*table.row("untrained").numbers["rankme.rankme"].values]
    values += table.row("pre-trained").numbers["rankme.rankme"].values
    assert len(set(values)) == 3


def test_separable_points_beat_chance_in_every_row(run):
    table = run()
    chance = table.row("chance").numbers["knn.accuracy@all"].mean
    assert chance == pytest.approx(1 / 3, abs=0.01)
    for kind in KINDS[1:]:
        assert table.row(kind).numbers["linear.accuracy@all"].mean > 0.7
    assert any("1 / 3 classes is 33.3%" in note for note in table.notes)


def test_without_labels(run):
    table = run({"labeled": False})
    assert [row.kind for row in table.rows] == ["untrained", "pre-trained"]
    assert set(table.row("pre-trained").numbers) == FREE
    assert any("no labels" in note for note in table.notes)
    assert "no labels" in table.text()


def test_batch_norm_is_calibrated_and_said(run):
    assert any("BatchNorm statistics" in note for note in run(encoder={"norm": True}, seeds=(0,)).notes)
    assert not any("BatchNorm" in note for note in run(seeds=(0,)).notes)


def test_the_encoder_is_left_as_it_was(toy):
    config = resolve({"domain": "toy", "encoder": {"norm": True}})
    data = build_data(config)
    encoder = build_encoder(config, data.spec)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    evaluate(config, encoder, data, seeds=(0,))
    assert encoder.training
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_test_labels_move_no_feature_or_choice(toy):
    """Shuffled test labels change scores alone: the numbers without labels stay."""
    config = resolve({"domain": "toy", "data": {"fixed": True}})
    tables = []
    for shuffle in (False, True):
        data = build_data(config)
        if shuffle:
            data.labels[data.test] = data.labels[data.test].flip(0).roll(1)
        tables.append(evaluate(config, build_encoder(config, data.spec), data, seeds=(0,)))
    first, second = (table.row("pre-trained").numbers for table in tables)
    assert first["linear.accuracy@all"] != second["linear.accuracy@all"]
    for key in FREE:
        assert first[key] == second[key]


def test_unreadable_samples(run):
    with pytest.raises(UsageError, match="30 of 150 samples could not be read"):
        run({"bad": 30})
    assert run({"bad": 1}, seeds=(0,)).data["samples"] == 149


@pytest.mark.parametrize(
    ("options", "message"), [({"seeds": ()}, "no seeds"), ({"data": {"samples": 2, "labeled": False}}, "too few")]
)
def test_what_allows_no_probe_is_said(run, options, message):
    with pytest.raises(UsageError, match=message):
        run(**options)


# ---------------------------------------------------------------------------------------------- targets


def opened(samples=150, labeled=False, **chosen):
    """The toy, its encoder, and a call that makes the table of what ``change`` made of the data."""
    config = resolve({"domain": "toy", "data": {"samples": samples, "labeled": labeled}})
    data = build_data(config)

    def table(**options):
        asked = Chosen(**chosen, **options.pop("chosen", {}))
        return evaluate(config, build_encoder(config, data.spec), data, chosen=asked, **{"seeds": (0, 1), **options})

    return data, table


def test_numbers_are_probed_in_every_row_beside_the_mean_of_train(toy):
    data, table = opened()
    values = torch.stack((data.x.sum(1), data.x[:, 0]), 1)
    values[::5, 1] = torch.nan
    data.targets = Targets(values, ("sum", "first"), "regression")
    found = table()
    assert tuple(row.kind for row in found.rows) == KINDS
    keys = {f"{p}.{n}{t}" for p in ("ridge", "neighbors") for n in ("rmse", "mae", "r2", "spearman") for t in TASKS}
    assert all(keys <= set(row.numbers) for row in found.rows)
    assert found.row("no model").numbers["ridge.r2"].mean > 0.95 > found.row("chance").numbers["ridge.r2"].mean
    assert found.row("chance").numbers["ridge.spearman"].mean == 0
    assert {"ridge", "neighbors"} <= set(found.specs)
    assert any("mean of train" in note for note in found.notes)
    assert "ridge r2 by task" in found.text()
    assert "no labels of two classes" not in found.text()


TASKS = ("", ":sum", ":first")


def test_labels_of_which_several_hold_beside_classes(toy):
    data, table = opened(labeled=True)
    values = (data.x[:, :3] > 0).float()
    values[::4, 0] = torch.nan
    data.targets = Targets(values, ("a", "b", "c"), "multilabel")
    found = table(seeds=(0,))
    for row in found.rows:
        assert {"multilabel.auc", "multilabel.map", "multilabel.auc:a", "linear.accuracy@all"} <= set(row.numbers)
    assert found.row("no model").numbers["multilabel.auc"].mean > 0.9
    assert found.row("chance").numbers["multilabel.auc"].mean == 0.5
    assert "ridge" not in found.specs


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(150, 3), r"labels have shape \[150, 3\].*are targets"),
        (torch.zeros(150, 1, dtype=torch.int64), r"shape \[150, 1\]"),
        (torch.linspace(0, 1, 150), r"labels are float32 \(0, 0.00671.*'regression'"),
        (torch.zeros(149, dtype=torch.int64), "for 150 samples"),
    ],
)
def test_labels_that_are_no_classes_are_one_line(toy, labels, message):
    data, table = opened()
    data.labels = labels
    with pytest.raises(UsageError, match=message):
        table()


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (torch.zeros(150), "regression", r"targets have shape \[150\]"),
        (torch.full((150, 1), torch.inf), "regression", "150 targets are infinite"),
        (torch.full((150, 1), 2.0), "multilabel", "a target is 2"),
        (torch.full((150, 1), torch.nan), "multilabel", "targets of 2 samples"),
    ],
)
def test_targets_that_are_none_are_one_line(toy, values, kind, message):
    data, table = opened()
    data.targets = Targets(values, ("a",), kind)
    with pytest.raises(UsageError, match=message):
        table()


# ---------------------------------------------------------------------------------------------- classes


def test_subsets_that_are_the_same_are_one_column(toy):
    _, table = opened(samples=36, labeled=True)
    labels = [c.labels for c in table(seeds=(0,), chosen={"probes": ("knn",)}).columns if c.number == "accuracy"]
    assert labels == ["1 %", "all"]  # 10 of each class are all of train, and 10 % are one of each, as 1 % are


def test_each_class_and_the_confusion_are_kept(run):
    found = run(seeds=(0,)).details
    assert set(found) == {"knn", "linear"}
    assert [row["class"] for row in found["linear"]["per_class"]] == ["a", "b", "c"]
    assert sum(map(sum, found["linear"]["confusion"])) == 30


def test_chance_is_no_less_than_any_of_equal_classes(toy):
    """Train has most of the class that test has fewest of."""
    data, table = opened(labeled=True)
    data.test = torch.zeros(150, dtype=torch.bool)
    data.test[torch.nonzero(data.labels > 0)[:40, 0]] = True
    data.test[0] = True
    chance = table(seeds=(0,), chosen={"probes": ("knn",)}).row("chance")
    assert chance.numbers["knn.accuracy@all"].mean == pytest.approx(1 / 3)


# ---------------------------------------------------------------------------------------------- a part of the table


def test_probes_and_rows_are_chosen(toy):
    _, table = opened(labeled=True)
    found = table(chosen={"probes": ("linear", "rankme"), "baselines": ("none",)})
    assert [row.kind for row in found.rows] == ["chance", "pre-trained"]
    assert set(found.specs) == {"linear", "rankme"}
    found = table(chosen={"probes": ("knn", "ridge"), "baselines": ("raw", "none")})
    assert [row.kind for row in found.rows] == ["chance", "no model", "pre-trained"]
    assert "ridge: this data has nothing for it to measure" in found.notes


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"probes": ("knnn",)}, "no probe 'knnn'. Perhaps you meant knn. It has: "),
        ({"baselines": ("row",)}, "no baseline 'row'. Perhaps you meant raw."),
    ],
)
def test_a_misspelled_choice_is_one_line(toy, chosen, message):
    _, table = opened(labeled=True)
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        table(chosen=chosen)


def test_a_quick_table_encodes_each_sample_at_most_three_times(toy, monkeypatch):
    _, table = opened(labeled=True)
    seen = []
    real = evaluating.embed_views
    monkeypatch.setattr(
        evaluating, "embed_views", lambda e, d, v, ids, *, count, **o: seen.append(count * len(ids)) or real(
            e, d, v, ids, count=count, **o
        )
    )  # fmt: skip
    fits, fit = [], linear.fit
    monkeypatch.setattr(linear, "fit", lambda *given, **more: fits.append(1) or fit(*given, **more))
    found = table(chosen={"quick": True})
    assert sum(seen) <= 3 * 150
    assert len(fits) == len([row for row in found.rows if "linear.accuracy@all" in row.numbers]) - 1, "one a row"
    assert "C of {0.1}" in found.specs["linear"]
    assert {c.labels for c in found.columns} == {"all"}
    assert found.seeds == (0,)
    assert tuple(row.kind for row in found.rows) == KINDS
