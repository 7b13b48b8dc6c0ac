"""What the conformance kit cannot know: crops lie in their waveform, ragged rows line up, bad files are named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from unlabeled_timeseries.batch import Spec, WaveBatch
from unlabeled_timeseries.data import Files, Waves
from unlabeled_timeseries.encoders import Transformer
from unlabeled_timeseries.tokenizers import Patches
from unlabeled_timeseries.views import Crops

from unlabeled import UsageError
from unlabeled.contract import View
from unlabeled.draw import Draw


@pytest.fixture
def batch() -> WaveBatch:
    return Waves(count=12).__getitems__([3, 5, 8, 9])


def test_crops_are_pieces_of_their_waveform(batch: WaveBatch) -> None:
    first, second = Crops(Spec(), jitter=0.0, scale=0.0)(batch, Draw(1, 0, batch.ids))
    for view in (first, second):
        for sample, (start,) in enumerate(view.params["start"].tolist()):
            assert start + 48 <= batch.lengths[sample]
            assert torch.equal(view.batch.x[sample], batch.x[sample, start : start + 48])
    assert not torch.equal(first.params["start"], second.params["start"])


def test_rows_of_ragged_waveforms_are_their_values(batch: WaveBatch) -> None:
    encoder = Transformer(Spec())
    layout = encoder.layout(batch)
    content, _ = Patches(Spec(), encoder)(batch, layout)
    assert layout.lengths == tuple(n // 8 for n in batch.lengths)
    assert len(set(layout.lengths)) > 1
    for part, wave, length in zip(content.split(layout.lengths), batch.x, batch.lengths, strict=True):
        assert torch.equal(part.flatten(), wave[:length])


def test_a_swap_moves_content_and_not_positions(batch: WaveBatch) -> None:
    encoder = Transformer(Spec()).eval()
    layout = encoder.layout(batch)
    swap = torch.arange(layout.total)
    swap[:2] = torch.tensor([1, 0])
    swapped = encoder(View(batch, "clean", layout, swap=swap)).pooled
    batch.x[0, :16] = batch.x[0, :16].roll(8)
    assert torch.allclose(encoder(View(batch, "clean", layout)).pooled, swapped, atol=1e-6)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "waves.npz"
    np.savez(path, x=np.random.default_rng(0).normal(size=(3, 100)), lengths=np.array([50, 100, 64]), y=[0, 2, 1])
    data = Files(str(path))
    assert [len(w) for w in data.waves] == [48, 96, 64]
    assert data.labels.tolist() == [0, 2, 1]
    assert data.classes == ("0", "1", "2")
    np.savez(path, x=np.zeros((3, 100)), lengths=np.array([50, 10, 64]))
    with pytest.raises(UsageError, match=r"waves\.npz: sample 1 has 10 values; 48 are the least"):
        Files(str(path))
    np.savez(path, z=np.zeros(3))
    with pytest.raises(UsageError, match=r"waves\.npz holds z; it must have x"):
        Files(str(path))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Crops(Spec(), length=12), "multiple of 8"),
        (lambda: Crops(Spec(), length=56), "at most 48"),
        (lambda: Crops(Spec(), scale=1.0), r"scale 1\.0"),
        (lambda: Transformer(Spec(), patch=3), "must divide 8"),
        (lambda: Transformer(Spec(), heads=3), "must divide width 64"),
        (lambda: Waves(count=0), "at least 1"),
    ],
)
def test_settings_out_of_range_say_what_would_be_right(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
