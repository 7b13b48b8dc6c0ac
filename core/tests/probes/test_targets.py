import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as Theirs

from unlabeled.contract import Embedded, Targets
from unlabeled.probes.linear import principal_axes
from unlabeled.probes.targets import MultiLabel, Neighbors, Ridge, choose, logistic, ridge_path


@pytest.fixture
def points():
    maker = torch.Generator().manual_seed(0)
    x = torch.randn(150, 6, generator=maker, dtype=torch.float64)
    clean = x @ torch.randn(6, 3, generator=maker, dtype=torch.float64)
    return x, clean + 0.3 * torch.randn(150, 3, generator=maker, dtype=torch.float64)


def sides(x, y, kind, names=("a", "b", "c")):
    return [Embedded(x[part], targets=Targets(y[part], names, kind)) for part in (slice(0, 100), slice(100, None))]


@pytest.mark.parametrize("dim", [6, 200])
def test_ridge_is_scikit_learns(dim):
    maker = torch.Generator().manual_seed(1)
    x = torch.randn(40, dim, generator=maker, dtype=torch.float64)
    y = torch.randn(40, 2, generator=maker, dtype=torch.float64)
    weight, bias = ridge_path(x, y, (0.1, 5.0))
    for number, strength in enumerate((0.1, 5.0)):
        theirs = Theirs(alpha=strength * 40).fit(x, y)
        torch.testing.assert_close(weight[number], torch.from_numpy(theirs.coef_.T), rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(bias[number], torch.from_numpy(theirs.intercept_), rtol=1e-6, atol=1e-8)


def test_logistic_is_scikit_learns_on_the_samples_that_each_task_knows(points):
    x, y = points
    z = x @ principal_axes(x)[0]
    labels = (y > 0).double()
    labels[::4, 1] = torch.nan
    weight = logistic(z, labels, torch.tensor([0.1, 1.0, 10.0]).double(), steps=1000)
    for task, C in enumerate((0.1, 1.0, 10.0)):
        known = ~labels[:, task].isnan()
        theirs = LogisticRegression(C=C, tol=1e-10, max_iter=5000).fit(z[known], labels[known, task])
        torch.testing.assert_close(weight[:-1, task], torch.from_numpy(theirs.coef_[0]), rtol=2e-2, atol=2e-3)
        assert weight[-1, task].item() == pytest.approx(theirs.intercept_[0], abs=5e-3)


@pytest.mark.parametrize("probe", [Ridge(), Neighbors()])
def test_what_can_be_learned_is_found_and_chance_is_the_mean_of_train(points, probe):
    train, test = sides(*points, "regression")
    found, chance = probe(train, test), probe.guess(train, test)
    assert found["r2"] > 0.5 > chance["r2"]
    assert found["rmse"] < chance["rmse"]
    assert chance["spearman"] == 0
    mean = train.targets.values[:, 0].mean()
    assert chance["mae:a"] == pytest.approx((test.targets.values[:, 0] - mean).abs().mean().item(), rel=1e-5)


@pytest.mark.parametrize("probe", [MultiLabel(), Neighbors()])
def test_labels_and_their_chance(points, probe):
    x, y = points
    train, test = sides(x, (y > 0.5).float(), "multilabel")
    found, chance = probe(train, test), probe.guess(train, test)
    assert found["auc"] > 0.85
    assert chance["auc"] == 0.5
    assert chance["map"] == pytest.approx(test.targets.values.mean().item(), abs=1e-5)


@pytest.mark.parametrize(("probe", "kind"), [(Ridge(), "regression"), (MultiLabel(), "multilabel")])
def test_targets_of_test_choose_nothing_and_unknown_ones_teach_nothing(points, probe, kind):
    x, y = points
    y = (y > 0).double() if kind == "multilabel" else y
    train, test = sides(x, y, kind)
    guess = probe.predict(train.x.float(), train.targets.values.float(), test.x.float())
    blind = train.targets.values.clone()
    blind[:50, 1] = torch.nan
    other = probe.predict(train.x.float(), blind.float(), test.x.float())
    torch.testing.assert_close(guess[:, 0], other[:, 0], rtol=1e-2, atol=1e-2)
    assert not torch.allclose(guess[:, 1], other[:, 1], atol=1e-3)
    alone = probe.predict(train.x.float(), torch.full_like(blind, torch.nan).float(), test.x.float())
    assert alone.isfinite().all()


def test_the_strength_is_chosen_on_train_for_each_label():
    maker = torch.Generator().manual_seed(3)
    x = torch.randn(200, 30, generator=maker)
    y = torch.stack(((x[:, 0] > 0).float(), (torch.rand(200, generator=maker) > 0.5).float()), 1)
    C = choose(x, y, (1e-3, 1.0), 0.3, 0, 100)
    assert C.tolist() == pytest.approx([1.0, 1e-3])  # noise is shrunk, a rule is not


@pytest.mark.parametrize(
    ("make", "message"), [(lambda: Ridge(grid=()), "grid is"), (lambda: MultiLabel(holdout=1.0), "holdout is 1")]
)
def test_settings_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()
