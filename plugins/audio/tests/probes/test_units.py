"""Unit probes: purity, edit distances, and what the probes say of encoders whose answer is known."""

from dataclasses import replace

import pytest
import torch

from unlabeled.contract import Features
from unlabeled.probes.frozen import Frozen
from unlabeled_audio.data.syllables import Syllables
from unlabeled_audio.encoders.rows import step_layout
from unlabeled_audio.probes.frames import Frames, Superb, WeightedLayers, layer_count
from unlabeled_audio.probes.units import CHANGES, PACE, Units, altered, edit_distances, purity
from unlabeled_audio.views.standard import Clean


class Telling(torch.nn.Module):
    """Frames say the clip's class by ``share``, the rest is a function of the wave; layer by layer less."""

    dim = 10
    can = frozenset({"tokens", "layers"})

    def __init__(self, labels, share=1.0):
        super().__init__()
        self.labels, self.share = labels, share

    def forward(self, view, layers=()):
        steps = tuple(max(2, n // 800) for n in view.batch.lengths)
        layout = step_layout(steps, 1, view.batch.wave.device)
        said = torch.nn.functional.one_hot(self.labels[view.batch.ids], 10).float()[layout.group]
        noise = torch.randn(layout.total, 10, generator=torch.Generator().manual_seed(int(view.batch.ids.sum())))

        def features(share):
            x = share * said + (1 - share) * noise
            return Features(x, layout, layout.mean(x))

        last = features(self.share)
        known = [features(0.0), last]
        if any(not -2 <= n < 2 for n in layers):
            raise IndexError("two layers")
        return Features(last.tokens, layout, last.pooled, layers=tuple(known[n] for n in layers))


@pytest.fixture(scope="module")
def data():
    return Syllables(None, count=120)


def frozen(data, share):
    held = torch.zeros(len(data), dtype=torch.bool)
    held[60:] = True
    ids = torch.arange(len(data))
    return Frozen(Telling(data.labels, share), "pre-trained", data, Clean(data.spec), ids[~held], ids[held])


def test_purity_and_information():
    y = torch.tensor([0, 0, 1, 1])
    assert purity(torch.tensor([5, 5, 2, 2]), y) == pytest.approx((1.0, 1.0))
    assert purity(torch.tensor([0, 0, 0, 0]), y) == pytest.approx((0.5, 0.0))
    assert purity(torch.tensor([0, 1, 0, 1]), y) == pytest.approx((0.5, 0.0))


def edit_distance(first, second):
    """Levenshtein's, one cell of the table at a time."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def test_edit_distances_equal_the_table_filled_by_hand():
    torch.manual_seed(0)
    one, many = torch.randint(4, (9,)), [torch.randint(4, (int(n),)) for n in torch.randint(1, 12, (30,))]
    expected = [edit_distance(one.tolist(), other.tolist()) for other in many]
    assert edit_distances(one, many).tolist() == expected
    assert edit_distance("kitten", "sitting") == 3


def test_noise_has_the_level_that_was_asked_for(data):
    batch = data.__getitems__([0, 1])
    view = Clean(data.spec)(batch, None)[0]
    heard = altered(view, data.spec, "noise", 10.0, 0).batch
    for clean, mixed in zip(view.batch.clips(), heard.clips(), strict=True):
        left = mixed - clean * (mixed @ clean) / (clean @ clean)
        assert 20 * torch.log10(mixed.std() / left.std()).item() == pytest.approx(10.4, abs=1.5)


@pytest.mark.parametrize("kind", CHANGES)
def test_a_clip_is_altered_alike_in_any_batch(data, kind):
    batch = data.__getitems__([0, 1])
    view = Clean(data.spec)(batch, None)[0]
    both = altered(view, data.spec, kind, 10.0, 0).batch
    alone = altered(replace(view, batch=view.batch[1:2]), data.spec, kind, 10.0, 0).batch
    pace = PACE if kind == "stretch" else 1.0
    assert both.lengths == tuple(int(pace * n) for n in view.batch.lengths)
    assert float((both.wave[: len(view.batch.wave)] - view.batch.wave).abs().mean()) > 0.01
    torch.testing.assert_close(alone.wave, both.clips()[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("probe", [Frames(), Superb(steps=200)])
def test_frames_that_say_the_class_are_read_and_noise_is_not(data, probe):
    assert probe(frozen(data, 1.0))["accuracy"] > 0.95
    assert probe(frozen(data, 0.0))["accuracy"] < 0.35


def test_units_of_frames_that_say_the_class(data):
    found = Units(count=10)(frozen(data, 1.0))
    assert found["purity"] == pytest.approx(1.0)
    assert found["pnmi"] == pytest.approx(1.0)
    assert found["perplexity"] == pytest.approx(10.0, rel=0.1)
    assert [found[f"edit_distance_{kind}"] for kind in CHANGES] == [0.0] * 4
    assert Units(count=10)(frozen(data, 0.0))["pnmi"] < 0.2


def test_layers_are_counted_and_weighed(data):
    assert layer_count(frozen(data, 1.0)) == 2
    head = WeightedLayers(3, 4, 5, 2)
    x = torch.randn(6, 3, 4)
    torch.testing.assert_close(head(x), head.classify(head.project(x.mean(1))))
    with torch.no_grad():
        head.weights.copy_(torch.tensor([0.0, 100.0, 0.0]))
    torch.testing.assert_close(head(x), head.classify(head.project(x[:, 1])))


def test_settings_out_of_range_are_named():
    for make in (lambda: Units(count=1), lambda: Superb(steps=0), lambda: Frames(most=0)):
        with pytest.raises(ValueError, match=r"is [01]; it must be above"):
            make()
