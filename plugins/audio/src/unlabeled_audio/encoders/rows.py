"""Rows of an encoder of clips: patches of the spectrogram, their layout, hidden ones, and attention among them.

Everything works on packed rows; only attention itself is laid out by the longest clip of a batch, so that norms and
perceptrons spend nothing on padding, and a clip's features do not depend on its neighbors.

    # B clips, G groups (one a clip), T packed rows, L rows of the longest, D features, F frames, M mel bands, C numbers
    # of a row's patch
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Features, Hide, Layout, Rows, View
from unlabeled.nn.rows import edit, learn_mask_token
from unlabeled.transfer import numbers
from unlabeled_audio.batch import AudioBatch, AudioSpec, spread, starts, within
from unlabeled_audio.ops.frontends import Spectrogram, frame_counts

WASTE = 0.1  # greatest share of padding in a run
MOST_RUNS = 12  # more would cost more in calls than they save


@dataclass(frozen=True)
class AudioFeatures(Features):
    """Features of an encoder with a convolutional front end.

    Args:
        local: ``[T, C]`` what the convolutions give, of every row of the view, before anything is hidden.
        normed: ``[T, C]`` the same after its LayerNorm, as wav2vec 2.0 quantizes it.
    """

    local: Tensor | None = None
    normed: Tensor | None = None


class AudioEncoder(nn.Module):
    """What all encoders here share. A row's content lies in ``window`` samples, from ``stride * step`` on.

    ``position[:, 0]`` of their layouts is the step in time; ``cells`` are the numbers that a row is made of, or stands
    for, ``cell`` of them. ``local_dim`` is the width of convolutional features, 0 without.
    """

    spec: AudioSpec
    front: Spectrogram
    dim: int
    window: int
    stride: int
    cell: int
    local_dim = 0

    def cells(self, batch: AudioBatch, layout: Layout) -> Tensor:
        """``[T, cell]``: log-mel of the window of each row, from the batch's target where it has one."""
        return self.front(batch.source, batch.lengths)

    @property
    def bands(self) -> int:
        """Rows of one step."""
        return 1

    prepare = learn_mask_token


def step_layout(steps: Sequence[int], bands: int, device: torch.device) -> Layout:
    """Rows of clips of ``steps`` steps and ``bands`` rows a step, step after step; positions (step, band) or (step)."""
    lengths = tuple(n * bands for n in steps)
    step = within(steps, device)
    if bands == 1:
        return Layout(lengths, step[:, None])
    band = torch.arange(bands, device=device).repeat(len(step))
    return Layout(lengths, torch.stack((step.repeat_interleave(bands), band), 1))


class MelEncoder(AudioEncoder):
    """Rows are patches of the spectrogram, ``patch`` mel bands by frames; what is left at the end is not read."""

    def __init__(self, spec: AudioSpec, patch: tuple[int, int]) -> None:
        super().__init__()
        high, wide = patch[0] or spec.mels, patch[1]
        if high < 1 or wide < 1 or spec.mels % high:
            raise ValueError(f"patch is {patch}; its mel bands must divide {spec.mels}, and its frames be at least 1")
        if round(spec.seconds / spec.hop) < wide:
            raise ValueError(f"patch has {wide} frames, and views of {spec.seconds} s no more than that")
        self.spec, self.patch, self.front = spec, (high, wide), Spectrogram(spec)
        self.cell = high * wide
        self.stride = wide * spec.hop_samples
        self.window = (wide - 1) * spec.hop_samples + spec.window_samples

    @property
    def bands(self) -> int:
        return self.spec.mels // self.patch[0]

    def steps(self, batch: AudioBatch) -> tuple[int, ...]:
        """Steps of each clip: whole patches, and one at least."""
        return tuple(max(1, self.spec.frames(n) // self.patch[1]) for n in batch.lengths)

    def layout(self, batch: AudioBatch) -> Layout:
        return step_layout(self.steps(batch), self.bands, batch.wave.device)

    def enter(self, width: int) -> None:
        """Make the map from a patch to a row, and the token of hidden rows."""
        self.embed = nn.Linear(self.cell, width)
        self.mask_token = nn.Parameter(torch.randn(width) * 0.02)

    def rows(self, view: View, hide: Hide) -> tuple[Tensor, Layout]:
        """``[T, D]``: a row a patch, after the view's swap and with the token at hidden ones; and their layout."""
        batch: Any = view.batch
        layout = view.layout or self.layout(batch)
        return edit(self.embed(self.seen(batch)), view, hide, self.mask_token), layout

    def seen(self, batch: AudioBatch) -> Tensor:
        """``[T, C]``: what the encoder reads: the altered spectrogram where views made one."""
        mel = batch.mel if batch.mel is not None else self.front(batch.wave, batch.lengths)
        return self._patches(mel, batch)

    def cells(self, batch: AudioBatch, layout: Layout) -> Tensor:
        if batch.mel is not None or batch.target is None:
            return self.seen(batch)
        return self._patches(self.front(batch.source, batch.lengths), batch)

    def with_cells(self, batch: AudioBatch, layout: Layout, rows: Rows, noise: Tensor) -> AudioBatch:
        """The batch with ``noise`` (repeated) added to the patches of ``rows``."""
        mel = self.front(batch.wave, batch.lengths) if batch.mel is None else batch.mel
        frames = tuple(self.spec.frames(n) for n in batch.lengths)
        wide, high = self.patch[1], self.patch[0]
        first = numbers(starts(frames), mel.device)[layout.group[rows.index]]
        first = first + wide * layout.position[rows.index, 0]
        band = layout.position[rows.index, 1] * high
        time = (first[:, None] + torch.arange(wide, device=mel.device)).repeat_interleave(high, 1)
        place = (band[:, None] + torch.arange(high, device=mel.device)).repeat(1, wide)
        extra = noise[:, torch.arange(wide * high, device=mel.device) % noise.shape[1]]
        padded = F.pad(mel, (0, 0, 0, wide)).index_put((time, place), extra, accumulate=True)
        return replace(batch, mel=padded[: len(mel)], frames=frames)

    def _patches(self, mel_FM: Tensor, batch: AudioBatch) -> Tensor:
        """``[F, M] -> [T, C]``, a patch's numbers ordered (frame, band)."""
        wide, steps = self.patch[1], self.steps(batch)
        counts = tuple(self.spec.frames(n) for n in batch.lengths)
        begin, device = numbers(starts(counts), mel_FM.device), mel_FM.device
        first = spread(begin, steps) + wide * within(steps, device)
        index = first[:, None] + torch.arange(wide, device=device)
        found = F.pad(mel_FM, (0, 0, 0, wide))[index]
        if min(counts) < wide:  # shorter than a patch: filled up with the mean, which is 0
            end = spread(begin + numbers(counts, device), steps)
            found = found * (index < end[:, None])[:, :, None]
        cut = found.unflatten(2, (self.bands, self.patch[0]))  # [steps, frames, bands, mels]
        return cut.transpose(1, 2).flatten(2).flatten(0, 1)


class ConvStack:
    """Geometry of stacked convolutions without padding: window and stride in samples."""

    def __init__(self, kernels: Sequence[int], strides: Sequence[int]) -> None:
        if len(kernels) != len(strides) or not kernels or min(*kernels, *strides) < 1:
            raise ValueError(f"kernels {tuple(kernels)} and strides {tuple(strides)}: as many of each, from 1 on")
        self.kernels, self.strides = tuple(kernels), tuple(strides)
        self.window, self.stride = 1, 1
        for kernel, stride in zip(kernels, strides, strict=True):
            self.window += (kernel - 1) * self.stride
            self.stride *= stride

    def steps(self, lengths: Sequence[int]) -> tuple[int, ...]:
        """Rows of clips: windows that lie within each, and one at least."""
        return frame_counts(lengths, self.window, self.stride)


# ---------------------------------------------------------------------------------------------- hiding


def refuse_drop(who: str, view: View, hide: Hide) -> None:
    """``ValueError`` from encoders whose convolutions need every row in its place."""
    if view.hidden is not None and hide == "drop":
        raise ValueError(f"{who} cannot drop rows: its convolutions need their neighbors; vit and mamba can")


def runs(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Neighboring groups that are laid out together: as many as keep padding below ``WASTE``; all, where that is slow.

    Training's batches come sorted by length (``data/batching.py``), so a few runs hold nearly no padding.
    """
    found, begin, longest, total = [], 0, 0, 0
    for number, length in enumerate(lengths):
        longest, total = max(longest, length), total + length
        if total < (1 - WASTE) * longest * (number + 1 - begin):
            found.append((begin, number))
            begin, longest, total = number, length, length
    found.append((begin, len(lengths)))
    return found if len(found) <= MOST_RUNS else [(0, len(lengths))]


def by_runs(change: Callable[[Tensor, Layout], Tensor], x_TE: Tensor, layout: Layout) -> Tensor:
    """``change(x, layout)`` of each run of groups, end to end: for what has to be laid out by the longest."""
    parts = runs(layout.lengths)
    if len(parts) == 1:
        return change(x_TE, layout)
    at = layout.offsets
    return torch.cat([change(x_TE[at[a] : at[b]], layout.groups(a, b)) for a, b in parts])


def attend(qkv_TE: Tensor, layout: Layout, heads: int) -> Tensor:
    """Attention among the rows of each clip: queries, keys, values ``[T, 3 * D] -> [T, D]``."""
    return by_runs(lambda x, part: _attend(x, part, heads), qkv_TE, layout)


def _attend(qkv_TE: Tensor, layout: Layout, heads: int) -> Tensor:
    qkv, pad_GL = layout.dense(qkv_TE)
    q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=2))
    seen = None if pad_GL is None else ~pad_GL[:, None, None]
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
    return layout.pack(mixed.transpose(1, 2).flatten(2))


def finish(
    x_TD: Tensor, layout: Layout, kept: Rows | None, states: Sequence[Features], layers: Sequence[int]
) -> Features:
    """Features with the mean of its rows as a clip's vector, and the layers that were asked for."""
    last = Features(x_TD, layout, layout.mean(x_TD), kept)
    return replace(last, layers=tuple(states[number] for number in layers))


def state(x_TD: Tensor, layout: Layout, kept: Rows | None, feed_TD: Tensor | None = None) -> Features:
    """The output of one block, and what its feed-forward part gave."""
    return Features(x_TD, layout, layout.mean(x_TD), kept, feed=feed_TD)
