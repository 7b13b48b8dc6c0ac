"""Codes of EnCodec, https://arxiv.org/abs/2210.13438, as MERT's acoustic teacher, https://arxiv.org/abs/2306.00107.

The model is transformers' own, from a folder; nothing is fetched. Each row gets the codes of EnCodec's frame that is
nearest to its middle. Content is a spectrogram, as of tokenizer ``rvq``. Differs: clips are brought to a peak of 1.

    # T packed rows, N samples of a clip at the model's rate, K codebooks
"""

from typing import Any, Literal

import torch
from torch import Tensor

from unlabeled.contract import Layout
from unlabeled.errors import UsageError, above
from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.data.reading import resample
from unlabeled_audio.tokenizers.spectrograms import ConstantQ


class EnCodec:
    """Codes of a pre-trained EnCodec, and a spectrogram.

    Args:
        folder: of transformers' EncodecModel; empty = a small one that nothing trained, for tests.
        books: codebooks of it that are read, the first ones (8 in MERT).
        content: what a row's content is: cqt, the constant-Q spectrogram as in MERT, or logmel.
    """

    def __init__(
        self,
        spec: AudioSpec,
        encoder: Any,
        *,
        folder: str = "",
        books: int = 8,
        content: Literal["cqt", "logmel"] = "cqt",
    ) -> None:
        above(0, books=books)
        self.spec, self.encoder, self.model, self.books = spec, encoder, load(folder, spec.rate), books
        config = self.model.config
        if books > config.num_quantizers:
            raise ValueError(f"books is {books}; the model of {folder} has {config.num_quantizers} codebooks")
        self.vocabulary = config.codebook_size
        self.constant_q = ConstantQ(spec, encoder) if content == "cqt" else None
        self.width = self.constant_q.width if self.constant_q is not None else int(encoder.cell)

    @torch.no_grad()
    def __call__(self, batch: AudioBatch, layout: Layout) -> tuple[Tensor, Tensor]:
        self.model.to(batch.wave.device)
        rate, codes = self.model.config.sampling_rate, []
        groups = layout.position[:, 0].split(layout.lengths)
        for clip, step in zip(batch.source.split(batch.lengths), groups, strict=True):
            frames = self._codes(clip)
            middle = (step * self.encoder.stride + self.encoder.window / 2) * (rate / self.spec.rate)
            place = (middle / self.model.config.hop_length).long().clamp(max=len(frames) - 1)
            codes.append(frames[place])
        content = self.encoder.cells(batch, layout) if self.constant_q is None else self.constant_q(batch, layout)[0]
        ids = torch.cat(codes)
        return content, ids if self.books > 1 else ids[:, 0]

    def _codes(self, clip: Tensor) -> Tensor:
        """``int64[frames, K]`` of one clip."""
        wave = resample(clip.cpu(), self.spec.rate, self.model.config.sampling_rate)
        wave = (wave / wave.abs().max().clamp(min=1e-5)).to(clip.device)
        latent = self.model.encoder(wave.expand(1, self.model.config.audio_channels, -1))
        codes: Tensor = self.model.quantizer.encode(latent, max(self.model.config.target_bandwidths))
        return codes[: self.books, 0].T


def load(folder: str, rate: int) -> Any:
    """transformers' model of a folder, or without one a small one at ``rate`` Hz, in evaluation mode."""
    from transformers import EncodecConfig, EncodecModel

    if not folder:
        sizes: dict[str, Any] = {
            "num_filters": 4,
            "hidden_size": 8,
            "codebook_dim": 8,
            "codebook_size": 16,
            "num_lstm_layers": 1,
        }
        kbps = 8 * 4 * -(-rate // 80) / 1000  # eight codebooks of four bits
        config = EncodecConfig(sampling_rate=rate, upsampling_ratios=[4, 4, 5], target_bandwidths=[kbps], **sizes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return EncodecModel(config).requires_grad_(False).eval()
    try:
        found = EncodecModel.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} holds no EncodecModel of transformers: {str(error).splitlines()[0]}") from error
    return found.requires_grad_(False).eval()
