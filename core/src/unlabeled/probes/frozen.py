"""The frozen encoder and its data, for probes of a domain that ask for more than pooled features.

Core's probes map features to numbers. A probe that asks to read the encoder is called with a :class:`Frozen` instead:
it may score pairs of sentences, label voxels or weight layers. The rows without a model call it with a baseline in the
encoder's place, so a probe that cannot score one says so with ``kinds``.

    # B samples of a batch, N samples, D features
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from unlabeled.contract import Asks, Batch, Data, Embedded, Features, View, Views
from unlabeled.probes.embedding import Feature, embed, forwards


@dataclass(frozen=True)
class Frozen:
    """A frozen encoder, or a baseline, with the samples that a probe may train and score on.

    Args:
        encoder: gives ``Features`` of a view; a baseline gives ``[B, D]``.
        kind: the row of the table, ``no model``, ``untrained`` or ``pre-trained``.
        data: the data set.
        clean: views that features are taken from.
        train: int64[N] ids that the probe may learn from.
        test: int64[N] ids that it is scored on.
        seed: of whatever the probe draws.
        device: where the encoder runs.
        batch_size: samples that are encoded at once.
        workers: processes that read.
        known: pooled features of all samples that can be read, where they are computed already.
        run: the run folder of the pre-trained encoder, where it trained heads beside it.
    """

    encoder: Any
    kind: str
    data: Data
    clean: Views
    train: Tensor
    test: Tensor
    seed: int = 0
    device: torch.device | str = "cpu"
    batch_size: int = 256
    workers: int = 0
    known: Embedded | None = None
    run: Path | None = None

    def embed(self, ids: Tensor | None = None, feature: Feature = "pooled") -> Embedded:
        """Features ``[N, D]`` of ``ids`` (None = all), in order, on the CPU; pooled ones are not computed twice."""
        if self.known is not None and feature == "pooled":
            return self.known if ids is None else _rows(self.known, ids, len(self.data))
        options = {"batch_size": self.batch_size, "workers": self.workers, "device": self.device}
        return embed(self.encoder, self.data, self.clean, indices=ids, feature=feature, **options)  # type: ignore[arg-type]

    def encode(self, ids: Tensor, layers: Sequence[int] = ()) -> Iterator[tuple[Batch, View, Features]]:
        """Batches of ``ids`` with their clean view and its features, in eval mode and without gradients."""
        if isinstance(self.encoder, nn.Module):  # no baseline
            self.encoder.to(self.device)
        options = {"batch_size": self.batch_size, "workers": self.workers, "device": self.device}
        return forwards(self.encoder, self.data, self.clean, ids, layers=layers, **options)  # type: ignore[arg-type]


def _rows(known: Embedded, ids: Tensor, total: int) -> Embedded:
    """The features of ``ids``; samples that could not be read are left out, as in :func:`embed`."""
    assert known.ids is not None
    place = torch.full((total,), -1).index_copy(0, known.ids, torch.arange(len(known)))[ids]
    place = place[place >= 0]
    return Embedded(known.x[place], None if known.y is None else known.y[place], known.ids[place])


@runtime_checkable
class EncoderProbe(Protocol):
    """A probe that reads the encoder; what it draws follows from ``frozen.seed``.

    Optional: ``applies(data)``, as of any probe; ``chance(frozen)``, what a guess scores (``frozen.encoder`` is None).
    """

    spec: str
    asks: Asks

    def __call__(self, frozen: Frozen) -> dict[str, float]: ...
