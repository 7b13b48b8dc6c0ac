"""Discrete units of rows: k-means of MFCC or of an encoder's layer, random projections, residual quantizers.

HuBERT https://arxiv.org/abs/2106.07447, BEST-RQ https://arxiv.org/abs/2202.01855, MERT https://arxiv.org/abs/2306.00107.
What is learned is learned before training, from the clips that training sees, in one pass and constant memory; train
and test clips share it. Differs: MERT's residual quantizer is EnCodec's (tokenizer ``encodec`` has it), here it is
residual k-means of log-mel frames.

    # T packed rows, F features, K units, C content of a row
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from unlabeled.build import frozen
from unlabeled.contract import Data, Layout, View
from unlabeled.data.readable import note
from unlabeled.draw import Draw
from unlabeled.errors import UsageError, above
from unlabeled.nn.codebooks import fit_residual, random_books, random_codes, residual_codes
from unlabeled.nn.kmeans import nearest, stream
from unlabeled.runs.folder import RunFolder
from unlabeled.training.datamodule import order, trainable
from unlabeled.transfer import numbers, resident
from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.ops.frontends import MEAN, STD, Spectrogram, deltas, mfcc
from unlabeled_audio.tokenizers.spectrograms import ConstantQ
from unlabeled_audio.views.standard import Clean

CLIPS = 32  # that are read at once
HELD = 40  # rows a cluster that k-means starts from


class RowFrames:
    """One log-mel frame a row, of the samples that the row sees: ``[T, M]``."""

    def __init__(self, spec: AudioSpec, encoder: Any) -> None:
        self.spec, self.encoder = spec, encoder
        self.front = Spectrogram(replace(spec, front="logmel"), encoder.window, encoder.stride)

    def __call__(self, batch: AudioBatch, layout: Layout) -> Tensor:
        """Where a clip is shorter than a row's window, its one frame has all of it."""
        frames = self.front.to(batch.wave.device)(batch.source, batch.lengths)
        bands = self.encoder.bands
        return frames.repeat_interleave(bands, 0) if bands > 1 else frames


class Units:
    """k-means units: of MFCC with their slopes, or of a layer of a run's encoder.

    Args:
        count: number of units, K (100 in HuBERT's first iteration, 500 in the second).
        run: run folder or encoder folder whose features are clustered; empty = MFCC.
        layer: block of that encoder, from 0; -1 = the last.
        frames: rows that are clustered at most; more cost time, not memory.
        coefficients: MFCC without slopes (13 in HuBERT).
    """

    width = 0

    def __init__(
        self,
        spec: AudioSpec,
        encoder: Any,
        *,
        count: int = 100,
        run: str = "",
        layer: int = -1,
        frames: int = 500000,
        coefficients: int = 13,
    ) -> None:
        above(1, count=count)
        above(0, frames=frames)
        if not 1 <= coefficients <= spec.mels:
            raise ValueError(f"coefficients is {coefficients}; the spectrogram has {spec.mels} bands")
        self.vocabulary, self.spec, self.encoder, self.frames = count, spec, encoder, frames
        self.coefficients, self.layer, self.run = coefficients, layer, run
        self.rows = RowFrames(spec, encoder)
        self.teacher: Any = frozen("audio", run) if run else None
        if run and quantized(Path(run)):
            raise UsageError(
                f"the encoder of {run} is the one it started from, so its clusters would be those of before: "
                f"--tokenizer codes --tokenizer.run {run} gives the units of its quantizer"
            )
        self.centers: Tensor | None = None
        self.scale: Tensor | None = None

    def features(self, batch: AudioBatch, layout: Layout) -> Tensor:
        """``[T, F]``: what is clustered."""
        if self.teacher is not None:
            return self._layer(batch, layout)
        found = mfcc(self.rows(batch, layout) * STD + MEAN, self.coefficients)
        first = deltas(found, layout.lengths)
        return torch.cat((found, first, deltas(first, layout.lengths)), dim=1)

    @torch.no_grad()
    def _layer(self, batch: AudioBatch, layout: Layout) -> Tensor:
        clean = replace(batch, wave=batch.source, target=None, mel=None, frames=())
        teacher = self.teacher.to(batch.wave.device)
        own = teacher.layout(clean)
        try:
            found = teacher(View(clean, "clean", own), layers=(self.layer,)).layers[0].tokens
        except IndexError as error:
            raise UsageError(f"--tokenizer.layer is {self.layer}, and the encoder of {self.run} has fewer") from error
        return found[matching(layout, self.encoder, own, teacher)]

    def fit(self, data: Data, seed: int) -> None:
        """Learn the units from the clips that training sees."""
        parts = rows_of(data, self.spec, self.encoder, self.features, seed, self.frames)
        first = next(parts)
        # features differ in range: each is brought to deviation 1, as it is in the first clips
        self.scale = first.std(0).clamp(min=1e-4)
        scaled = (part / self.scale for part in _again(first, parts))
        try:
            self.centers = stream(scaled, self.vocabulary, seed, first=HELD * self.vocabulary)
        except ValueError as error:
            raise UsageError(f"tokenizer units: {error} (--tokenizer.count)") from error

    def __call__(self, batch: AudioBatch, layout: Layout) -> tuple[None, Tensor]:
        assert self.centers is not None, "units are fitted before they are used"
        assert self.scale is not None
        x = self.features(batch, layout)
        return None, nearest(x / resident(self.scale, x.device), resident(self.centers, x.device))


class RandomProjection:
    """Labels that nothing learned: a random projection of a row's content, and the nearest of random directions.

    Args:
        entries: directions of a book, K (8,192 in BEST-RQ).
        dim: of the projection (16 in BEST-RQ).
        books: projections with books of their own; each row gets as many labels.
    """

    width = 0

    def __init__(self, spec: AudioSpec, encoder: Any, *, entries: int = 256, dim: int = 16, books: int = 1) -> None:
        above(1, entries=entries)
        above(0, dim=dim, books=books)
        self.spec, self.encoder = spec, encoder
        self.vocabulary, self.dim, self.books = entries, dim, books
        self.mean, self.scale = torch.zeros(encoder.cell), torch.ones(encoder.cell)
        self._draw(0)

    def _draw(self, seed: int) -> None:
        self.project, self.entries = random_books(self.encoder.cell, self.dim, self.vocabulary, self.books, seed)

    def fit(self, data: Data, seed: int) -> None:
        """Draw by the run's seed; content is standardized, since a mean would give all rows the same label."""
        self._draw(seed)
        x = torch.cat(list(rows_of(data, self.spec, self.encoder, self.encoder.cells, seed, 10000)))
        self.mean, self.scale = x.mean(0), x.std(0).clamp(min=1e-4)

    def __call__(self, batch: AudioBatch, layout: Layout) -> tuple[None, Tensor]:
        x = self.encoder.cells(batch, layout)
        x = (x - resident(self.mean, x.device)) / resident(self.scale, x.device)
        codes = random_codes(x, resident(self.project, x.device), resident(self.entries, x.device))
        return None, codes[:, 0] if self.books == 1 else codes


class ResidualQuantizer:
    """Residual k-means of log-mel frames: each book codes what those before it left. Content is a spectrogram.

    Args:
        books: number of books, one label each (8 in MERT).
        entries: of a book (1,024 in MERT).
        content: what a row's content is: cqt, the constant-Q spectrogram as in MERT, or logmel.
        frames: rows that books are learned from, held in memory.
    """

    def __init__(
        self,
        spec: AudioSpec,
        encoder: Any,
        *,
        books: int = 4,
        entries: int = 128,
        content: Literal["cqt", "logmel"] = "cqt",
        frames: int = 20000,
    ) -> None:
        above(0, books=books, frames=frames)
        above(1, entries=entries)
        self.spec, self.encoder, self.frames = spec, encoder, frames
        self.vocabulary, self.number = entries, books
        self.rows = RowFrames(spec, encoder)
        self.constant_q = ConstantQ(spec, encoder) if content == "cqt" else None
        self.width = self.constant_q.width if self.constant_q is not None else int(encoder.cell)
        self.books: list[Tensor] = []

    def fit(self, data: Data, seed: int) -> None:
        """Learn one book after the other."""
        left = torch.cat(list(rows_of(data, self.spec, self.encoder, self.rows, seed, self.frames)))
        if len(left) < self.vocabulary:
            raise UsageError(f"tokenizer rvq: {len(left)} rows make no {self.vocabulary} entries (--tokenizer.entries)")
        self.books = fit_residual(left, self.number, self.vocabulary, seed)

    def __call__(self, batch: AudioBatch, layout: Layout) -> tuple[Tensor, Tensor]:
        assert self.books, "books are fitted before they are used"
        left = self.rows(batch, layout)
        codes = residual_codes(left, [resident(book, left.device) for book in self.books])
        content = self.encoder.cells(batch, layout)
        if self.constant_q is not None:
            content = self.constant_q(batch, layout)[0]
        return content, codes if self.number > 1 else codes[:, 0]


def quantized(run: Path) -> bool:
    """Whether a run trained a quantizer alone, on an encoder that stayed as it was (invariant units)."""
    folder = RunFolder(run)
    return folder.is_run and bool(folder.config.parts["objective"].settings.get("frozen"))


# ---------------------------------------------------------------------------------------------- rows of a data set


@torch.no_grad()
def rows_of(data: Data, spec: AudioSpec, encoder: Any, features: Any, seed: int, most: int) -> Iterator[Tensor]:
    """``features(batch, layout)`` of clips that training sees, in an order by seed, until there are ``most`` rows."""
    pool, clean, total = trainable(data), Clean(spec), 0
    for ids in pool[order(len(pool), seed, 0)].split(CLIPS):
        batch = data.__getitems__(ids.tolist())
        note(data, batch)
        if not len(batch):
            continue
        view = clean(batch, Draw(seed, 0, batch.ids))[0]  # type: ignore[arg-type]
        part = features(view.batch, encoder.layout(view.batch))[: most - total]
        total += len(part)
        yield part
        if total >= most:
            return


def _again(first: Tensor, rest: Iterator[Tensor]) -> Iterator[Tensor]:
    yield first
    yield from rest


def matching(layout: Layout, encoder: Any, own: Layout, teacher: Any) -> Tensor:
    """``int64[T]``: for each row of ``layout`` the row of ``own``, the teacher's, whose middle is nearest in time."""
    if own.lengths == layout.lengths and teacher.stride == encoder.stride and teacher.bands == encoder.bands:
        return torch.arange(layout.total, device=layout.position.device)
    middle = layout.position[:, 0] * encoder.stride + encoder.window / 2
    step = torch.round((middle - teacher.window / 2) / teacher.stride).long()
    lengths = numbers(own.lengths, step.device)
    first = numbers(own.offsets[:-1], step.device)[layout.group]
    last = (lengths // teacher.bands - 1)[layout.group]
    return first + step.clamp(min=0).minimum(last) * teacher.bands
