"""Span sets: each of its length, and what is seen outside of all."""

from types import SimpleNamespace

import pytest
import torch

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled_audio.batch import AudioBatch
from unlabeled_audio.encoders.rows import step_layout
from unlabeled_audio.masks.multi_block import SpanSetsMask


def masked(steps, bands=1, ids=None, **settings):
    ids = torch.arange(len(steps)) if ids is None else torch.tensor(ids)
    view = View(AudioBatch(ids, torch.zeros(len(steps)), (1,) * len(steps)), "global")
    view = View(view.batch, "global", step_layout(steps, bands, torch.device("cpu")))
    return SpanSetsMask(SimpleNamespace(bands=bands), **settings)(view, Draw(0, 0, ids))


@pytest.mark.parametrize("bands", [1, 3])
def test_spans_are_whole_and_their_union_is_hidden(bands):
    view = masked((20, 11, 3), bands, spans=3, ratio=0.2)
    assert len(view.predict) == 3
    union = set()
    for rows in view.predict:
        assert rows.lengths[:2] == (4 * bands, 2 * bands)
        for clip, part in enumerate(rows.index.split(rows.lengths)):
            if len(part):
                steps = view.layout.position[part, 0].unique()
                assert torch.equal(steps, torch.arange(int(steps[0]), int(steps[0]) + len(steps)))
                assert (view.layout.group[part] == clip).all()
        union |= set(rows.index.tolist())
    assert view.hidden.index.tolist() == sorted(union)
    assert all(h < n for h, n in zip(view.hidden.lengths, view.layout.lengths, strict=True))


def test_short_clips_are_seen_in_part():
    rows = masked((1, 2, 3, 4), spans=3).hidden
    assert rows.lengths[0] == 0
    assert all(1 <= h < n for h, n in zip(rows.lengths[1:], (2, 3, 4), strict=True))


def test_settings_that_leave_nothing_to_see_are_refused():
    with pytest.raises(ValueError, match=r"5 spans of a share of 0\.2 leave nothing"):
        SpanSetsMask(spans=5, ratio=0.2)
