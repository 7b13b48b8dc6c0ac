"""Waveforms of different lengths, generated or from a file.

# N samples of the data set, L values of the longest
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unlabeled import UsageError
from unlabeled_timeseries.batch import Spec, WaveBatch

STEP, SHORTEST = Spec().step, Spec().shortest


class Waveforms:
    """A data set in memory: what both components below share."""

    def __init__(
        self, waves: Sequence[np.ndarray], labels: np.ndarray | None, classes: tuple[str, ...], name: str
    ) -> None:
        cut = [wave[: len(wave) // STEP * STEP].astype(np.float32) for wave in waves]
        self.waves = [torch.from_numpy((w - w.mean()) / max(float(w.std()), 1e-6)) for w in cut]
        self.labels = None if labels is None else torch.from_numpy(labels.astype(np.int64))
        self.classes, self.name = classes, name
        self.test: Tensor | None = None  # no split of its own: probes draw one
        self.spec = Spec()

    def __len__(self) -> int:
        return len(self.waves)

    def __getitems__(self, indices: Sequence[int]) -> WaveBatch:
        chosen = [self.waves[i] for i in indices]
        x_BL = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True)
        return WaveBatch(torch.as_tensor(indices, dtype=torch.int64), x_BL, tuple(len(w) for w in chosen))

    def describe(self) -> str:
        lengths = [len(w) for w in self.waves]
        return f"{self.name}: {len(self)} waveforms of {min(lengths, default=0)} to {max(lengths, default=0)} values"


class Waves(Waveforms):
    """Sines, squares, saws and pulses of random length, pitch and phase, with noise.

    Args:
        count: N, number of samples.
        noise: deviation of the noise, in amplitudes.
    """

    def __init__(self, path: str | None = None, *, count: int = 400, noise: float = 0.1) -> None:
        if count < 1 or noise < 0:
            raise ValueError(f"count is {count} and noise {noise}; they must be at least 1 and 0")
        random = np.random.default_rng(0)
        labels = np.arange(count) % 4
        waves = [_wave(random, int(shape), int(random.integers(SHORTEST, 121)), noise) for shape in labels]
        super().__init__(waves, labels, ("sine", "square", "saw", "pulse"), "generated waves")


def _wave(random: np.random.Generator, shape: int, length: int, noise: float) -> np.ndarray:
    turns = np.arange(length) * random.uniform(0.04, 0.07) + random.uniform(0, 1)
    sine = np.sin(2 * np.pi * turns)
    forms = (sine, np.sign(sine), 2 * (turns % 1) - 1, (turns % 1 < 0.2).astype(float))
    wave: np.ndarray = forms[shape] + random.normal(0, noise, length)
    return wave


class Files(Waveforms):
    """An ``.npz`` file: ``x[N, L]``, ``lengths[N]`` where they differ, and, for probes, integer classes ``y[N]``."""

    def __init__(self, path: str) -> None:
        if not Path(path).is_file():
            raise UsageError(f"{path} is no file; give an .npz with x[N, L], and lengths[N], y[N] where there are any")
        try:
            with np.load(path, allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
        except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
            raise UsageError(f"{path} cannot be read as .npz: {error}") from error
        x = arrays.get("x")
        if x is None or x.ndim != 2:
            raise UsageError(f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; it must have x[N, L]")
        lengths = arrays.get("lengths", np.full(len(x), x.shape[1]))
        short = np.flatnonzero(lengths < SHORTEST)
        if len(short):
            raise UsageError(f"{path}: sample {short[0]} has {lengths[short[0]]} values; {SHORTEST} are the least")
        y = arrays.get("y")
        classes = () if y is None else tuple(str(i) for i in range(int(y.max()) + 1))
        super().__init__([row[:n] for row, n in zip(x, lengths, strict=True)], y, classes, path)
