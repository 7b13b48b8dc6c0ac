"""Masks: exact counts on any length, spans that are spans, and torchaudio's and transformers' shares."""

from types import SimpleNamespace

import pytest
import torch
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.plugins.shown import shown
from unlabeled_audio.batch import AudioBatch
from unlabeled_audio.encoders.rows import step_layout
from unlabeled_audio.masks.grid import BlockMask, InverseBlockMask
from unlabeled_audio.masks.spans import ChunkMask, EqualSpanMask, SpanMask

ALL = (SpanMask, EqualSpanMask, BlockMask, InverseBlockMask, ChunkMask)


def view_of(steps, bands=1):
    ids = torch.arange(len(steps)) + 40
    batch = AudioBatch(ids, torch.zeros(len(steps)), (1,) * len(steps))
    return View(batch, "global", layout=step_layout(steps, bands, torch.device("cpu")))


def flags(mask, steps, epoch=0, bands=1):
    view = view_of(steps, bands)
    out = mask(view, Draw(3, epoch, view.batch.ids))
    return out.hidden.flags(view.layout.total).split(view.layout.lengths)


def runs(row):
    """Lengths of stretches that are hidden."""
    edges = torch.diff(torch.cat((row.new_zeros(1), row, row.new_zeros(1))).int())
    return (torch.nonzero(edges < 0) - torch.nonzero(edges > 0)).flatten().tolist()


@pytest.mark.parametrize("kind", ALL)
def test_counts_are_a_function_of_length(kind):
    for steps in ((100, 37, 100, 5, 2, 1), (64,)):
        found = [flags(kind(), steps, epoch) for epoch in range(5)]
        counts = [[int(row.sum()) for row in rows] for rows in found]
        assert all(c == counts[0] for c in counts)
        assert all(0 < c < n for c, n in zip(counts[0], steps, strict=True) if n > 1)


def test_spans_are_as_long_as_asked_but_for_one():
    for row in flags(SpanMask(ratio=0.2, length=10), (400,) * 8):
        inner = runs(row[1:-1])  # spans may reach over the ends
        assert sum(n < 9 for n in inner) <= 3, inner


def test_the_default_share_is_that_of_wav2vec2():
    found = _compute_mask_indices((64, 781), 0.65, 10)
    assert found.mean() == pytest.approx(SpanMask().ratio, abs=0.02)


def test_every_step_is_hidden_about_equally_often():
    hits = sum(torch.stack(flags(SpanMask(), (50,) * 64, epoch)).float().mean(0) for epoch in range(20)) / 20
    assert float((hits - 0.49).abs().max()) < 0.07


def test_equal_spans_are_whole_and_do_not_overlap():
    mask = EqualSpanMask(ratio=0.5, length=10)
    for epoch in range(5):
        for row in flags(mask, (100, 61, 200), epoch):
            count, length = mask.spans(len(row))
            assert int(row.sum()) == count * length
            assert all(n % length == 0 for n in runs(row))


def test_chunks_lie_side_by_side():
    for row in flags(ChunkMask(ratio=0.5, length=4), (80,) * 6):
        assert sum(n < 4 for n in runs(row[4:-4])) <= 2


def test_blocks_of_patches_are_compact():
    encoder = SimpleNamespace(bands=8)

    def touching(mask):
        """Share of neighbors in time and band that are both hidden or both seen."""
        grid = torch.stack(flags(mask, (16,) * 16, bands=8)).unflatten(1, (16, 8)).float()
        same = (grid[:, 1:] == grid[:, :-1]).float().mean() + (grid[:, :, 1:] == grid[:, :, :-1]).float().mean()
        return float(same) / 2

    assert touching(BlockMask(encoder, ratio=0.5)) > 0.7
    assert touching(InverseBlockMask(encoder, ratio=0.5)) > 0.7
    assert touching(BlockMask(encoder, ratio=0.5, steps=1, bands=1)) < 0.6


def test_a_mask_prints_its_settings():
    assert shown(BlockMask(SimpleNamespace(bands=8), steps=3)) == "BlockMask(ratio=0.5, steps=3, bands=5)"


def test_bands_of_a_step_are_hidden_together():
    rows = flags(SpanMask(SimpleNamespace(bands=4), ratio=0.5, length=3), (20,) * 4, bands=4)
    for row in rows:
        counts = row.unflatten(0, (20, 4)).sum(1)
        assert int(((counts > 0) & (counts < 4)).sum()) <= 1


@pytest.mark.parametrize("kind", ALL)
def test_settings_out_of_range_are_named(kind):
    with pytest.raises(ValueError, match="ratio is 1"):
        kind(ratio=1.0)
    name = "steps" if kind in (BlockMask, InverseBlockMask) else "length"
    with pytest.raises(ValueError, match=f"{name} is 0"):
        kind(**{name: 0})
