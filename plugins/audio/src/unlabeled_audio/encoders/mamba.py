"""Bidirectional Mamba over patches of the spectrogram, in plain PyTorch: SSAMBA's encoder.

Mamba https://arxiv.org/abs/2312.00752, both directions as Vision Mamba https://arxiv.org/abs/2401.09417 has them,
SSAMBA https://arxiv.org/abs/2405.11831. The cost is linear in rows; no CUDA kernel is needed. On an accelerator the
scan goes over runs of rows side by side, each operation over all clips, channels and states at once; its gradient is
the same scan backward, so that only the decays and the states are kept. Differs: a clip's vector is the mean of its
rows, where SSAMBA has a class token.

    # T packed rows, G clips, L rows of the longest, D features, E inner channels, N states of a channel
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Features, Hide, Layout, View
from unlabeled.errors import above
from unlabeled.nn.init import sincos
from unlabeled.nn.rows import drop
from unlabeled.transfer import numbers
from unlabeled_audio.batch import AudioSpec
from unlabeled_audio.encoders.rows import MelEncoder, by_runs, finish, state


def loop_scan(decay: Tensor, x: Tensor) -> Tensor:
    """``h[t] = decay[t] * h[t - 1] + x[t]`` from ``h[-1] = 0``, over the first dimension, step by step."""
    states = [x[0]]
    for step in range(1, len(x)):
        states.append(torch.addcmul(x[step], decay[step], states[-1]))
    return torch.stack(states)


def chunked_scan(decay: Tensor, x: Tensor) -> Tensor:
    """:func:`loop_scan` in about three roots of L operations in place of L; no decay is ever divided by.

    Runs of about the root of L steps are scanned side by side, then what enters each run from the one before it.
    """
    length = len(x)
    run = math.isqrt(max(0, length - 1)) + 1
    runs = -(-length // run)
    rest = runs * run - length
    if rest:
        decay, x = (torch.cat((part, part.new_zeros(rest, *part.shape[1:]))) for part in (decay, x))
    decay, x = (part.unflatten(0, (runs, run)) for part in (decay, x))
    inner, shares = [x[:, 0]], [decay[:, 0]]
    for step in range(1, run):
        inner.append(torch.addcmul(x[:, step], decay[:, step], inner[-1]))
        shares.append(decay[:, step] * shares[-1])  # of what enters the run, what is left at this step
    entering = [torch.zeros_like(inner[-1][0])]
    for last, share in zip(inner[-1][:-1], shares[-1][:-1], strict=True):
        entering.append(torch.addcmul(last, share, entering[-1]))
    h = torch.addcmul(torch.stack(inner, 1), torch.stack(shares, 1), torch.stack(entering)[:, None])
    return h.flatten(0, 1)[:length]


def scan(decay: Tensor, x: Tensor) -> Tensor:
    """:func:`chunked_scan`, or on a CPU the loop: there memory is what costs, and chunks take 2 to 5 times as long."""
    return loop_scan(decay, x) if x.device.type == "cpu" else chunked_scan(decay, x)


class Scan(torch.autograd.Function):
    """:func:`scan`, whose gradient is the same scan backward, so that only decays and states are kept."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, x: Tensor) -> Tensor:
        h = scan(decay, x)
        ctx.save_for_backward(decay, h)
        return h

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        decay, h = ctx.saved_tensors
        later = torch.cat((decay[1:], torch.zeros_like(decay[:1])))
        of_x = scan(later.flip(0), grad.flip(0)).flip(0)
        of_decay = torch.cat((torch.zeros_like(h[:1]), of_x[1:] * h[:-1]))
        return of_decay, of_x


def selective_scan(x_GLE: Tensor, step_GLE: Tensor, a_EN: Tensor, b_GLN: Tensor, c_GLN: Tensor) -> Tensor:
    """A state-space model whose steps, inputs and outputs depend on the row: ``[G, L, E]``, causal in L."""
    x, step = x_GLE.transpose(0, 1).float(), step_GLE.transpose(0, 1).float()
    decay = torch.exp(step[..., None] * a_EN)
    h = Scan.apply(decay, (step * x)[..., None] * b_GLN.transpose(0, 1).float()[:, :, None])
    y = torch.einsum("lgen,lgn->gle", h, c_GLN.transpose(0, 1).float())
    return y.to(x_GLE.dtype)


class Direction(nn.Module):
    """One direction of a block: a causal convolution over four rows, then the selective scan."""

    def __init__(self, inner: int, states: int, rank: int) -> None:
        super().__init__()
        self.states, self.rank = states, rank
        self.convolution = nn.Conv1d(inner, inner, 4, padding=3, groups=inner)
        self.select = nn.Linear(inner, rank + 2 * states, bias=False)
        self.step = nn.Linear(rank, inner)
        self.log_a = nn.Parameter(torch.log(torch.arange(1, states + 1).float()).repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        with torch.no_grad():  # steps start between 0.001 and 0.1, evenly in their logarithm
            wanted = torch.exp(torch.rand(inner) * (math.log(0.1) - math.log(0.001)) + math.log(0.001))
            self.step.bias.copy_(wanted + torch.log(-torch.expm1(-wanted)))
            nn.init.uniform_(self.step.weight, -(rank**-0.5), rank**-0.5)

    def forward(self, x_GLE: Tensor) -> Tensor:
        mixed = self.convolution(x_GLE.transpose(1, 2))[..., : x_GLE.shape[1]].transpose(1, 2)
        x = F.silu(mixed)
        rank, b, c = self.select(x).split((self.rank, self.states, self.states), dim=2)
        step = F.softplus(self.step(rank))
        return selective_scan(x, step, -self.log_a.float().exp(), b, c) + x * self.skip


class Block(nn.Module):
    """Both directions over the rows of each clip, gated, with a residual."""

    def __init__(self, width: int, inner: int, states: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.enter, self.leave = nn.Linear(width, 2 * inner, bias=False), nn.Linear(inner, width, bias=False)
        rank = -(-width // 16)
        self.forth, self.back = Direction(inner, states, rank), Direction(inner, states, rank)

    def forward(self, x_TD: Tensor, layout: Layout, turned: Tensor) -> Tensor:
        x, gate = self.enter(self.norm(x_TD)).chunk(2, dim=1)
        forth = by_runs(lambda part, own: own.pack(self.forth(own.dense(part)[0])), x, layout)
        back = by_runs(lambda part, own: own.pack(self.back(own.dense(part)[0])), x[turned], layout)[turned]
        return x_TD + self.leave((forth + back) * F.silu(gate))


def reversal(layout: Layout) -> Tensor:
    """``int64[T]``: the row that stands at each place when every clip is read from its end; its own inverse."""
    offsets = numbers(layout.offsets, layout.position.device)
    return (
        offsets[layout.group]
        + offsets[layout.group + 1]
        - 1
        - torch.arange(layout.total, device=layout.position.device)
    )


class Mamba(MelEncoder):
    """Bidirectional Mamba over the log-mel spectrogram.

    Args:
        patch: mel bands and frames of a patch; 0 bands = all, so that rows are frames (16,16 is SSAMBA's).
        width: D, features of a row.
        depth: number of blocks (24 in SSAMBA).
        expand: inner channels of a block over its width, E / D.
        states: of each inner channel, N.
    """

    def __init__(
        self,
        spec: AudioSpec,
        *,
        patch: tuple[int, int] = (0, 2),
        width: int = 128,
        depth: int = 4,
        expand: int = 2,
        states: int = 16,
    ) -> None:
        super().__init__(spec, patch)
        above(0, width=width, depth=depth, expand=expand, states=states)
        self.dim = width
        self.can = frozenset({"tokens", "mask", "drop", "swap", "layers"})
        self.enter(width)
        self.blocks = nn.ModuleList(Block(width, expand * width, states) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        x_TD, layout = self.rows(view, hide)
        x_TD = x_TD + sincos(layout.position, self.dim).to(x_TD.dtype)
        x_TD, layout, kept = drop(x_TD, view, layout, hide)
        turned, states = reversal(layout), []
        for block in self.blocks:
            x_TD = block(x_TD, layout, turned)
            states.append(state(x_TD, layout, kept))
        return finish(self.norm(x_TD), layout, kept, states, layers)
