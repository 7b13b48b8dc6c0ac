"""Views in blocks of clips are those of the whole batch, and no block is larger than it may be."""

import pytest
import torch

from unlabeled.draw import Draw
from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.views import blocks
from unlabeled_audio.views.spectral import ATST, Aligned, Clones
from unlabeled_audio.views.standard import Clean, Mixed, Paired, Plain, Wave

SPEC = AudioSpec(8000, 0.5, 16)
LENGTHS, OTHERS = (4000, 3000, 1200, 5000, 900), (700, 4000, 4000, 2000, 3000)


def noise(samples, seed):
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def batch():
    waves = noise(sum(LENGTHS), 0), noise(sum(OTHERS), 1)
    return AudioBatch(torch.arange(5), waves[0], LENGTHS, partner=waves[1], partner_lengths=OTHERS)


# without moves of pitch: a phase may turn the other way by what a rounded factor is off
@pytest.mark.parametrize(
    "views",
    [Wave(SPEC, pitch=0.0), Plain(SPEC), Paired(SPEC, pitch=0.0, stretch=0.0), Mixed(SPEC, p=0.7), Clean(SPEC),
     ATST(SPEC), Aligned(SPEC), Clones(SPEC)],
    ids=lambda views: type(views).__name__,
)  # fmt: skip
def test_views_in_blocks_are_those_of_the_whole_batch(batch, views, monkeypatch):
    def made():
        return views(batch, Draw(3, 1, batch.ids))

    whole = made()
    monkeypatch.setattr(blocks, "MOST", 4500)
    for ours, right in zip(made(), whole, strict=True):
        assert (ours.role, ours.batch.lengths, ours.batch.frames) == (
            right.role,
            right.batch.lengths,
            right.batch.frames,
        )
        for name in ("ids", "wave", "mel", "target", "partner"):
            torch.testing.assert_close(getattr(ours.batch, name), getattr(right.batch, name), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.params, right.params)


def test_a_view_is_never_made_of_more_than_a_block(batch, monkeypatch):
    monkeypatch.setattr(blocks, "MOST", 4500)
    sizes, views = [], Wave(SPEC)
    change = views.augment
    views.augment = lambda part, draw: sizes.append(len(part.wave)) or change(part, draw)
    views(batch, Draw(0, 0, batch.ids))
    assert sizes[::2] == [4000, 4200, 5000, 900]
