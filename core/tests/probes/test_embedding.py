import copy

import pytest
import torch

from unlabeled.contract import Features, Layout
from unlabeled.draw import Draw
from unlabeled.errors import UsageError
from unlabeled.probes.embedding import batches, calibrate, embed, embed_views, feature_of, has_running_statistics, take


@pytest.fixture
def parts(toy):
    from unlabeled.plugins.registry import registry, resolve

    made = {row.name: resolve(row) for row in registry().components("toy") if row.target.startswith("unlabeled_plugin")}
    torch.manual_seed(0)
    return made


def test_order_labels_and_ids(parts):
    data, clean = parts["clusters"](), parts["clean"](6)
    found = embed(parts["raw"](6), data, clean, indices=torch.tensor([9, 3, 140, 0]), batch_size=3)
    torch.testing.assert_close(found.x, data.x[[9, 3, 140, 0]])
    assert found.y.tolist() == [0, 0, 2, 0]
    assert found.ids.tolist() == [9, 3, 140, 0]


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("workers", [0, 1])
def test_features_do_not_depend_on_batch_size_or_workers(parts, norm, workers):
    data, clean, net = parts["clusters"](), parts["clean"](6), parts["net"](6, norm=norm)
    whole = embed(net, data, clean, batch_size=150)
    small = embed(net, data, clean, batch_size=7, workers=workers)
    torch.testing.assert_close(small.x, whole.x, rtol=1e-5, atol=1e-6)
    assert whole.x.shape == (150, 5)


def test_views_do_not_depend_on_batch_size(parts):
    data, noise, net = parts["clusters"](), parts["noise"](6), parts["net"](6)
    ids = torch.arange(20)
    whole = embed_views(net, data, noise, ids, count=5, seed=3)
    small = embed_views(net, data, noise, ids, count=5, seed=3, batch_size=3)
    torch.testing.assert_close(small.x, whole.x)
    assert whole.x.shape == (20, 5, 5)
    assert (whole.x[:, 0] - whole.x[:, 2]).abs().min() > 0  # the next epoch's draws, not the same again


def test_views_are_those_of_the_draws(parts):
    data, noise = parts["clusters"](), parts["noise"](6)
    batch = data.__getitems__([4, 5])
    made = take(noise, batch, 3, seed=1)
    first, second = noise(batch, Draw(1, 0, batch.ids)), noise(batch, Draw(1, 1, batch.ids))
    for view, wanted in zip(made, [*first, second[0]], strict=True):
        torch.testing.assert_close(view.batch.x, wanted.batch.x)


def test_each_modules_mode_is_restored(parts):
    data, clean, net = parts["clusters"](), parts["clean"](6), parts["net"](6, norm=True)
    net.train()
    net.body[1].eval()  # a frozen BatchNorm
    before = [m.training for m in net.modules()]
    first, second = embed(net, data, clean), embed(net, data, clean)
    assert [m.training for m in net.modules()] == before
    torch.testing.assert_close(first.x, second.x, rtol=0, atol=0)  # dropout was off
    assert not first.x.requires_grad
    with pytest.raises(TypeError):
        embed(net, data, lambda batch, draw: None)
    assert [m.training for m in net.modules()] == before


def test_unreadable_samples_are_left_out(parts):
    data, clean = parts["clusters"](bad=30), parts["clean"](6)
    found = embed(parts["raw"](6), data, clean, batch_size=20)
    assert found.ids.tolist() == list(range(30, 150))
    assert found.y.tolist() == data.labels[30:].tolist()


def test_features_that_are_not_finite_are_an_error(parts):
    data, clean, net = parts["clusters"](), parts["clean"](6), parts["net"](6)
    with torch.no_grad():
        net.body[0].bias[0] = torch.nan
    with pytest.raises(UsageError, match="150 of 150 samples are not finite"):
        embed(net, data, clean)


def test_which_feature():
    layout = Layout((2, 2), torch.zeros(4, 1))
    tokens, prefix = torch.arange(8.0).view(4, 2), torch.full((2, 1, 2), 9.0)
    out = Features(tokens, layout, torch.ones(2, 2), prefix=prefix)
    assert feature_of(out).tolist() == [[1, 1], [1, 1]]
    assert feature_of(out, "mean").tolist() == [[1, 2], [5, 6]]
    assert feature_of(out, "prefix").tolist() == [[9, 9], [9, 9]]
    with pytest.raises(ValueError, match="no class or register tokens"):
        feature_of(Features(tokens, layout, tokens), "prefix")
    with pytest.raises(ValueError, match="one of pooled, mean, prefix"):
        feature_of(out, "last")


def test_calibration_sets_the_statistics_of_the_data_and_nothing_else(parts):
    data, net = parts["clusters"](), parts["net"](6, norm=True)
    before = copy.deepcopy(net.state_dict())
    assert has_running_statistics(net)
    assert not has_running_statistics(parts["net"](6))
    found = batches(data, torch.arange(150), batch_size=75, workers=0)
    calibrate(net, lambda batch: net.body(batch.x), found)
    with torch.no_grad():
        halves = net.body[0](data.x).view(2, 75, 5)
    norm = net.body[1]
    torch.testing.assert_close(norm.running_mean, halves.mean(1).mean(0))
    torch.testing.assert_close(norm.running_var, halves.var(1).mean(0))
    assert norm.momentum == 0.1
    assert net.training
    for name, value in net.state_dict().items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(value, before[name], rtol=0, atol=0)
