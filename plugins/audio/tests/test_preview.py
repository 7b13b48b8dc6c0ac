"""The picture of the views: hidden rows are dark."""

import torch

from unlabeled.build import build
from unlabeled.config.run import resolve
from unlabeled.draw import Draw
from unlabeled_audio.preview import cells, hidden_cells
from unlabeled_audio.views.standard import Clean


def test_hidden_rows_are_dark():
    config = resolve(
        {
            "data": {"name": "syllables", "count": 60},
            "views": "plain",
            "objective": "simmim",
            "encoder": {"name": "vit", "width": 24, "depth": 1, "heads": 2},
            "mask": {"name": "span", "ratio": 0.5, "length": 4},
            "training": {"batch_size": 4},
        },
        "audio",
    )
    parts = build(config)
    batch = parts.data.__getitems__([0, 1])
    view = parts.prepare(batch, 0, 0)[0]
    frames = [parts.data.spec.frames(n) for n in view.batch.lengths]
    hidden = hidden_cells(view, parts.data.spec, parts.encoder, frames)
    assert hidden.shape == (sum(frames), 40)
    assert 0.35 < float(hidden.mean()) < 0.65
    plain = cells(Clean(parts.data.spec)(batch, Draw(0, 0, batch.ids))[0], parts.data.spec)
    masked = cells(view, parts.data.spec, parts.encoder)
    assert float(masked[0].float().mean()) < 0.8 * float(plain[0].float().mean())
    assert masked[0].dtype == torch.uint8
