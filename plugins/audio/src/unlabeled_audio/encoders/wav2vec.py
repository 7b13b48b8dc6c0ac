"""wav2vec's encoder network: convolutions over the waveform and nothing above them, so a row sees a short stretch.

wav2vec, https://arxiv.org/abs/1904.05862, as vq-wav2vec, https://arxiv.org/abs/1910.05453, uses it: eight convolutions
of 512 channels, 10 ms a row, each with a norm and a ReLU, and the logarithm of 1 plus the last output. Differs:
LayerNorm over channels, where the papers normalize over channels and time: statistics of a clip would let a row know
what comes after it.

    # S samples, T packed rows, C channels, D features
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Features, Hide, Layout, View
from unlabeled.errors import above
from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.encoders.rows import AudioEncoder, ConvStack, finish, state, step_layout
from unlabeled_audio.encoders.wav2vec2 import lay_out, settle
from unlabeled_audio.ops.frontends import Spectrogram

KERNELS, STRIDES = (10, 8, 4, 4, 4, 1, 1, 1), (5, 4, 2, 2, 2, 1, 1, 1)  # 10 ms a row at 16 kHz


class Wav2Vec(AudioEncoder):
    """Convolutions over the waveform.

    Args:
        width: D, channels of each convolution (512 in the papers).
        kernels: of the convolutions, in steps; empty = the papers', without one of stride 2 below 12 kHz.
        strides: of the convolutions, in steps; empty = the papers', likewise.
    """

    def __init__(
        self, spec: AudioSpec, *, width: int = 192, kernels: tuple[int, ...] = (), strides: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        above(0, width=width)
        kept = [n for n in range(len(KERNELS)) if spec.rate >= 12000 or n != 4]
        self.stack = ConvStack(kernels or [KERNELS[n] for n in kept], strides or [STRIDES[n] for n in kept])
        self.spec, self.dim, self.cell = spec, width, spec.mels
        self.window, self.stride = self.stack.window, self.stack.stride
        if spec.longest < self.window:
            raise ValueError(f"views of {spec.longest} samples are shorter than a row's window of {self.window}")
        self.front = Spectrogram(replace(spec, front="logmel"), self.window, self.stride)
        self.can = frozenset({"tokens", "layers"})
        sizes = zip(self.stack.kernels, self.stack.strides, strict=True)
        self.blocks = nn.ModuleList(
            nn.Conv1d(width if number else 1, width, kernel, stride, bias=False)
            for number, (kernel, stride) in enumerate(sizes)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.blocks)
        for weight in self.blocks.parameters():
            nn.init.kaiming_normal_(weight)

    def layout(self, batch: AudioBatch) -> Layout:
        return step_layout(self.stack.steps(batch.lengths), 1, batch.wave.device)

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        """``layers`` are the convolutions that have a step a row: the last that has a stride, and those after it."""
        batch: Any = view.batch
        if view.hidden is not None or view.swap is not None:
            raise ValueError("wav2vec hides and swaps no rows: what it sees is the waveform alone")
        if batch.mel is not None:
            raise ValueError("these views alter spectrograms, and wav2vec reads the waveform: choose others (--views)")
        layout = view.layout or self.layout(batch)
        begin, total = settle(batch.lengths, self.stride, self.window)
        place = torch.cat([torch.arange(n) + b // self.stride for b, n in zip(begin, layout.lengths, strict=True)])
        x, jump, states = lay_out(batch.wave, batch.lengths, begin, total), 1, []
        for convolution, norm, stride in zip(self.blocks, self.norms, self.stack.strides, strict=True):
            x, jump = norm(convolution(x).transpose(1, 2)).relu().transpose(1, 2), jump * stride
            if jump == self.stride:
                states.append(state(self._rows(x, place), layout, None))
        return finish(self._rows(x, place), layout, None, states, layers)

    def _rows(self, x_1CS: Tensor, place_T: Tensor) -> Tensor:
        """``[T, C]``, on a logarithmic scale."""
        return x_1CS[0].T[place_T.to(x_1CS.device)].log1p()
