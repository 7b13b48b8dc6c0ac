"""The scheduled mask: its shares follow the cosine, and a clip's mask is its own."""

import math

import pytest
import torch

from unlabeled.contract import Layout, View
from unlabeled.draw import Draw
from unlabeled_audio.batch import AudioBatch
from unlabeled_audio.masks.scheduled import ScheduledMask


def hidden(lengths, ids=None, epoch=0, **settings):
    ids = torch.arange(len(lengths)) if ids is None else torch.tensor(ids)
    layout = Layout(tuple(lengths), torch.zeros(sum(lengths), 1))
    view = View(AudioBatch(ids, torch.zeros(len(lengths)), (1,) * len(lengths)), "global", layout)
    return ScheduledMask(**settings)(view, Draw(0, epoch, ids)).hidden


def test_shares_are_spread_along_the_cosine():
    found = torch.tensor(hidden([200] * 2000).lengths) / 200
    assert found.mean().item() == pytest.approx(2 / math.pi, abs=0.02)  # the mean of cos over a quarter turn
    assert found.min() >= 0.04
    assert found.max() < 1


def test_neither_all_nor_none_is_hidden():
    rows = hidden([2, 3, 40] * 50)
    assert all(1 <= h < n for h, n in zip(rows.lengths, [2, 3, 40] * 50, strict=True))
