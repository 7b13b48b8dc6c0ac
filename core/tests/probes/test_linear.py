import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from unlabeled.contract import Embedded
from unlabeled.probes import linear
from unlabeled.probes.linear import Linear, choose, fit, hold_out, principal_axes, standardize


@pytest.fixture
def points():
    maker = torch.Generator().manual_seed(0)
    x = torch.randn(240, 8, generator=maker, dtype=torch.float64) @ torch.diag(torch.logspace(0, -1, 8).double())
    y = (x[:, :3] + 0.7 * torch.randn(240, 3, generator=maker, dtype=torch.float64)).argmax(1)
    return x[:160], y[:160], x[160:], y[160:]


def solve(x, y, C):
    axes, _ = principal_axes(x)
    model = fit(x @ axes, y, int(y.max()) + 1, C, steps=1000, tolerance=1e-7)
    return axes @ model.weight, model.bias


@pytest.mark.parametrize("C", [1e-3, 0.1, 10.0])
def test_optimum_is_scikit_learns(points, C):
    x, y, *_ = points
    (x,) = standardize(x)
    theirs = LogisticRegression(C=C, tol=1e-10, max_iter=5000).fit(x, y)
    weight, bias = solve(x, y, C)
    torch.testing.assert_close(weight, torch.from_numpy(theirs.coef_.T), rtol=1e-3, atol=2e-4)
    # a softmax knows its biases up to a constant
    torch.testing.assert_close(bias - bias.mean(), torch.from_numpy(theirs.intercept_), rtol=1e-3, atol=2e-4)


def test_optimum_with_fewer_samples_than_features():
    maker = torch.Generator().manual_seed(1)
    x = torch.randn(20, 60, generator=maker, dtype=torch.float64)
    y = torch.arange(20) % 3
    (x,) = standardize(x)
    theirs = LogisticRegression(C=0.5, tol=1e-10, max_iter=5000).fit(x, y)
    weight, _ = solve(x, y, 0.5)
    torch.testing.assert_close(weight, torch.from_numpy(theirs.coef_.T), rtol=1e-3, atol=2e-4)


def test_few_steps_reach_the_optimum(points):
    """The reason for the principal axes: a hundred times apart in scale, and still done in 60 steps."""
    x, y, *_ = points
    x = x @ torch.diag(torch.logspace(0, -2, 8).double())
    x = x - x.mean(0)
    z = x @ principal_axes(x)[0]

    def loss(model):
        return F.cross_entropy(model(z), y) + model.weight.square().sum() / (2 * 1.0 * len(z))

    assert loss(fit(z, y, 3, 1.0, steps=60, tolerance=1e-8)) == pytest.approx(
        loss(fit(z, y, 3, 1.0, steps=2000, tolerance=1e-8)).item(), rel=1e-5
    )


def test_standardize_by_train_alone():
    train, test = torch.tensor([[1.0, 5.0], [3.0, 5.0]]), torch.tensor([[5.0, 9.0]])
    a, b = standardize(train, test)
    torch.testing.assert_close(a, torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    torch.testing.assert_close(b, torch.tensor([[3.0, 0.0]]))


def test_rare_words_do_not_weigh_as_much_as_common_ones():
    """Bags of words, of which most are rare: each class has words of its own, and train has few of them."""
    maker = torch.Generator().manual_seed(0)
    y = torch.arange(540) % 3
    rates = torch.full((3, 3000), 0.02)
    for kind in range(3):
        rates[kind, 15 * kind : 15 * kind + 15] = 0.2
    x = torch.bernoulli(rates[y], generator=maker)
    train, test = Embedded(x[:60], y[:60]), Embedded(x[60:], y[60:])
    theirs = LogisticRegression().fit(train.x, train.y).score(test.x, test.y)
    assert Linear()(train, test)["accuracy"] > theirs - 0.1  # 0.26 less, by the deviation of each word


def test_sparse_features_share_a_scale_and_dense_ones_do_not():
    x = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 4.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    scale = x.var(0, correction=0).mean().sqrt()
    torch.testing.assert_close(standardize(x)[0], (x - x.mean(0)) / scale)
    dense = x + 1
    torch.testing.assert_close(standardize(dense)[0][:, 0], (x[:, 0] - 0.5) / x[:, 0].std(correction=0))


def test_holdout_is_stratified_and_disjoint():
    y = torch.tensor([0] * 50 + [1] * 10 + [2] * 2 + [3])
    fitted, held = hold_out(y, 0.2, seed=0)
    assert sorted([*fitted.tolist(), *held.tolist()]) == list(range(63))
    assert torch.bincount(y[held], minlength=4).tolist() == [10, 2, 1, 0]


def test_one_sample_a_class_cannot_choose():
    assert choose(torch.randn(3, 2), torch.arange(3), 3, (0.01, 0.1), 0.2, 0, 50) == (1.0, None)


def test_chooses_what_a_search_by_hand_chooses(points):
    x, y, *_ = points
    (x,) = standardize(x)
    z = x @ principal_axes(x)[0]
    grid = (1e-4, 1e-2, 1.0)
    fitted, held = hold_out(y, 0.2, 0)
    scores = {}
    for C in grid:
        model = LogisticRegression(C=C, tol=1e-8, max_iter=2000).fit(z[fitted], y[fitted])
        logits = torch.from_numpy(model.predict_log_proba(z[held]))
        scores[C] = (model.score(z[held], y[held]), -F.nll_loss(logits, y[held]).item())
    assert choose(z, y, 3, grid, 0.2, 0, 500)[0] == max(scores, key=scores.get)


def test_test_labels_and_features_choose_nothing(points, monkeypatch):
    x, y, test_x, test_y = points
    chosen = []
    real = linear.choose
    monkeypatch.setattr(linear, "choose", lambda *args: chosen.append((args, real(*args))) or chosen[-1][1])
    order = torch.randperm(len(test_y), generator=torch.Generator().manual_seed(0))
    first = Linear()(Embedded(x, y), Embedded(test_x, test_y))
    second = Linear()(Embedded(x, y), Embedded(5 * test_x.flip(1), test_y[order]))
    assert first != second
    (a, (c1, _)), (b, (c2, _)) = chosen
    assert c1 == c2
    torch.testing.assert_close(a[0], b[0], rtol=0, atol=0)  # features that the choice saw
    assert len(a[0]) == len(x)


def test_same_call_same_numbers(points):
    x, y, test_x, test_y = points
    sides = Embedded(x, y), Embedded(test_x, test_y)
    assert Linear()(*sides) == Linear()(*sides)


def test_accuracy_is_that_of_a_good_classifier(points):
    x, y, test_x, test_y = points
    theirs = LogisticRegression(max_iter=1000).fit(x, y).score(test_x, test_y)
    assert Linear()(Embedded(x, y), Embedded(test_x, test_y))["accuracy"] == pytest.approx(theirs, abs=0.05)


def test_threads_are_as_before(points):
    x, y, test_x, test_y = points
    before = torch.get_num_threads()
    with linear.one_thread_if(True):
        assert torch.get_num_threads() == 1
    Linear()(Embedded(x, y), Embedded(test_x, test_y))
    assert torch.get_num_threads() == before


def test_labels_need_not_be_dense(points):
    x, y, test_x, test_y = points
    names = torch.tensor([4, 7, 90])
    dense = Linear()(Embedded(x, y), Embedded(test_x, test_y))
    assert Linear()(Embedded(x, names[y]), Embedded(test_x, names[test_y])) == dense


@pytest.mark.parametrize("x", [torch.zeros(30, 4), torch.full((30, 4), 1e4), torch.randn(30, 200)])
def test_degenerate_features_give_a_number(x):
    y = torch.arange(30) % 3
    assert 0 <= Linear()(Embedded(x, y), Embedded(x, y))["accuracy"] <= 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"grid": ()}, "grid is"),
        ({"grid": (0.0, 1.0)}, "numbers above 0"),
        ({"holdout": 1.0}, "holdout is 1"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_settings_are_checked(setting, message):
    with pytest.raises(ValueError, match=message):
        Linear(**setting)


def test_columns_that_are_empty_stop_no_solver():
    for seed in range(4):  # of these, LAPACK in single precision gives up on two
        words = torch.Generator().manual_seed(seed)
        x = torch.zeros(200, 165)
        x[:, torch.randperm(165, generator=words)[:20]] = torch.randn(200, 20, generator=words)
        axes, variance = principal_axes(x)
        assert axes.shape == (165, 20)
        torch.testing.assert_close(axes.T @ axes, torch.eye(20), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(variance, (x @ axes).square().mean(0), rtol=1e-4, atol=1e-5)
