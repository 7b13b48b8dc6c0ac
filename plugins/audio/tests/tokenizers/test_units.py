"""Units: the same for a seed, of the clean clip; random projections; residual codes."""

import pytest
import torch

from unlabeled.draw import Draw
from unlabeled.errors import UsageError
from unlabeled_audio.data.syllables import Syllables
from unlabeled_audio.encoders.vit import ViT
from unlabeled_audio.encoders.wav2vec2 import Wav2Vec2
from unlabeled_audio.tokenizers.units import RandomProjection, ResidualQuantizer, Units, matching
from unlabeled_audio.views.standard import Clean


@pytest.fixture(scope="module")
def data():
    return Syllables(None, count=120)


@pytest.fixture(scope="module")
def encoder(data):
    return ViT(data.spec, width=24, depth=1, heads=2)


def view_of(data, ids=(0, 7, 33)):
    batch = data.__getitems__(list(ids))
    return Clean(data.spec)(batch, Draw(0, 0, batch.ids))[0].batch


def test_too_few_rows_are_refused(data, encoder):
    units = Units(data.spec, encoder, count=50, frames=20)
    with pytest.raises(UsageError, match=r"--tokenizer\.count"):
        units.fit(data, 0)


def test_units_use_all_clusters_and_follow_the_sound(data, encoder):
    units = Units(data.spec, encoder, count=24)
    units.fit(data, 0)
    batch = view_of(data, range(120))
    _, ids = units(batch, encoder.layout(batch))
    assert ids.shape == (encoder.layout(batch).total,)
    share = torch.bincount(ids, minlength=24).float() / len(ids)
    assert float(torch.exp(-(share * share.clamp(min=1e-9).log()).sum())) > 12
    again = Units(data.spec, encoder, count=24)
    again.fit(data, 0)
    assert torch.equal(again(batch, encoder.layout(batch))[1], ids)


def test_units_do_not_depend_on_neighbors(data, encoder):
    units = Units(data.spec, encoder, count=24)
    units.fit(data, 0)
    batch = view_of(data)
    together = units(batch, encoder.layout(batch))[1].split(encoder.layout(batch).lengths)[1]
    alone = units(batch[1:2], encoder.layout(batch[1:2]))[1]
    assert torch.equal(alone, together)


def test_units_are_of_the_clean_target(data, encoder):
    from dataclasses import replace

    units = Units(data.spec, encoder, count=24)
    units.fit(data, 0)
    batch = view_of(data)
    noisy = replace(batch, wave=torch.randn(len(batch.wave)), target=batch.wave)
    layout = encoder.layout(batch)
    assert torch.equal(units(noisy, layout)[1], units(batch, layout)[1])


@pytest.mark.parametrize("books", [1, 3])
def test_random_projections_are_drawn_by_the_seed(data, encoder, books):
    labels = RandomProjection(data.spec, encoder, entries=32, books=books)
    batch = view_of(data, range(60))
    layout = encoder.layout(batch)
    labels.fit(data, 1)
    first = labels(batch, layout)[1]
    assert first.shape == ((layout.total,) if books == 1 else (layout.total, books))
    labels.fit(data, 2)
    assert not torch.equal(labels(batch, layout)[1], first)
    labels.fit(data, 1)
    assert torch.equal(labels(batch, layout)[1], first)
    assert len(torch.unique(first)) > 16


def test_each_book_codes_what_is_left(data, encoder):
    quantizer = ResidualQuantizer(data.spec, encoder, books=3, entries=16, content="logmel")
    quantizer.fit(data, 0)
    batch = view_of(data, range(40))
    layout = encoder.layout(batch)
    content, codes = quantizer(batch, layout)
    assert codes.shape == (layout.total, 3)
    assert content.shape == (layout.total, quantizer.width)
    frames = quantizer.rows(batch, layout)
    left = [frames]
    for number, book in enumerate(quantizer.books):
        left.append(left[-1] - book[codes[:, number]])
    sizes = [float(x.square().mean()) for x in left[1:]]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] < float((frames - frames.mean(0)).square().mean())


def test_rows_match_those_of_another_rate(data, encoder):
    other = Wav2Vec2(data.spec, width=16, depth=1, heads=2, channels=8, positions=4)
    slow = ViT(data.spec, patch=(0, 4), width=24, depth=1, heads=2)
    batch = view_of(data)
    mine, theirs = other.layout(batch), slow.layout(batch)
    rows = matching(mine, other, theirs, slow)
    assert torch.equal(theirs.group[rows], mine.group)
    away = (mine.position[:, 0] * other.stride + other.window / 2) - (
        theirs.position[rows, 0] * slow.stride + slow.window / 2
    )
    inner = mine.within < torch.tensor(mine.lengths)[mine.group] - 4
    assert float(away[inner].abs().max()) <= slow.stride
