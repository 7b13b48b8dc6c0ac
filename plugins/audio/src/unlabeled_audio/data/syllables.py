"""Generated syllables: 10 classes in 6 voices, which need no download."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.data.synthesis import SYLLABLES, VOICES, Voice, syllable, timing
from unlabeled_audio.data.waves import Waves


class Syllables(Waves):
    """Generated syllables: 10 classes, 6 voices, random pitch, tempo and loudness. Every fifth take is held out.

    Args:
        count: N, number of clips.
        rate: samples a second, in Hz.
        seconds: length of the longest view; longer clips are cropped.
        mels: bands of the mel spectrogram.
        window: of a spectrogram's frame, in seconds.
        hop: from frame to frame, in seconds.
        front: spectrogram: logmel, or fbank as Kaldi computes it.
        batching: batches of clips of like lengths: about the same seconds each, or as many clips each; auto = clips
            where the loss is one of clips, seconds where it is one of frames.
        seed: of the takes.
    """

    def __init__(
        self,
        path: str | None,
        *,
        count: int = 600,
        rate: int = 8000,
        seconds: float = 0.64,
        mels: int = 40,
        window: float = 0.025,
        hop: float = 0.01,
        front: Literal["logmel", "fbank"] = "logmel",
        batching: Literal["auto", "seconds", "clips"] = "auto",
        seed: int = 0,
    ) -> None:
        if path is not None:
            raise ValueError(f"syllables are generated; to read {path}, give --data clips:{path}")
        if count < 60:
            raise ValueError(f"count is {count}; it must be at least 60, one take of each syllable by each voice")
        self.spec = AudioSpec(rate, seconds, mels, window, hop, front)
        number = torch.arange(count)
        self.classes = tuple(SYLLABLES)
        self.labels: Tensor | None = number % 10
        self.speakers: Tensor | None = number // 10 % 6
        self.voices = tuple(voice.name for voice in VOICES)
        self.test: Tensor | None = number // 60 % 5 == 4
        self._seed = seed
        super().__init__([timing(*self._take(n)).total for n in range(count)], 1024, batching)

    def _take(self, number: int) -> tuple[str, Voice, int, np.random.Generator]:
        voice = VOICES[number // 10 % 6]
        return self.classes[number % 10], voice, self.spec.rate, np.random.default_rng([self._seed, number])

    def _wave(self, number: int) -> Tensor:
        # made when it is asked for: all takes at once would slow every start by seconds
        return torch.from_numpy(syllable(*self._take(number)))

    def __getitems__(self, indices: Sequence[int]) -> AudioBatch:
        found = [(int(number), self._load(int(number))) for number in indices]
        return self._collate(found, lambda number, own: self._load(number), getattr(indices, "epoch", 0))

    def describe(self) -> str:
        return f"generated syllables: {len(self):,} clips, 10 classes, 6 voices, {self.spec.rate} Hz, a fifth held out"
