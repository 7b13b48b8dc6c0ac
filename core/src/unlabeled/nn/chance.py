"""Draws of an objective: functions of (step, sample, place), so the same on any rank, or resumed.

The step is a tensor on the device (:class:`unlabeled.nn.clock.Clock`) and is never read by the host.

    # B samples, G groups, M rows of the longest, T packed rows, E edges, K rows that are drawn
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from unlabeled.contract import Layout, View
from unlabeled.draw import Draw, Purpose, mix64
from unlabeled.transfer import numbers

UNIT = 2.0**-24


def draw_at(step: Tensor, ids: Tensor, number: int = 0) -> Draw:
    """The draws of samples ``ids[B]`` at training step ``step[]``; ``number`` tells views, or turns, apart.

    >>> draw_at(torch.tensor(3), torch.arange(2)).uniform(1, 1024).shape
    torch.Size([2, 1])
    """
    return Draw(0, step, ids, number)


def row_words(view: View, layout: Layout, step: Tensor, purpose: int, number: int = 0) -> Tensor:
    """``int64[T]``: 64 random bits for each row of ``layout``, by its sample and its place in it.

    Where samples are nodes of one graph, rows are addressed by their node, since every rank holds the whole graph.

    >>> row_words(views[0], views[0].layout, torch.tensor(3), purpose=1024).shape  # 4 samples of 16 rows
    torch.Size([64])
    """
    if layout.seeds is None:
        return draw_at(step, view.batch.ids, number).rows(purpose, layout.group, layout.within)
    place = layout.address
    if place is None:
        place = torch.arange(layout.total, device=layout.position.device)
    nothing = torch.zeros_like(place)
    return draw_at(step, nothing[:1], number).rows(purpose, nothing, place)


def draw_others(draw: Draw, lengths: Sequence[int], count: int) -> Tensor:
    """``int64[G, M, K]``: for each row the places, among those of its group, of K others, with repetition.

    A group of one row has no other: its entries point outside, at place 1.

    >>> draw_others(Draw(0, 0, torch.arange(2)), (2, 1), 3).flatten(1)
    tensor([[1, 1, 1, 0, 0, 0],
            [1, 1, 1, 0, 0, 0]])
    """
    longest = max(lengths, default=0)
    sizes = numbers(lengths, draw.ids.device)
    place = draw.integers(longest * count, Purpose.NEGATIVE, (sizes - 1).clamp(min=0)[:, None])
    place = place.unflatten(1, (longest, count))
    own = torch.arange(longest, device=place.device)[:, None]
    return place + (place >= own)


def more_words(words: Tensor, count: int) -> Tensor:
    """``int64[..., count]``: further words, each a function of one of ``words[...]``.

    >>> more_words(torch.arange(3), 4).shape
    torch.Size([3, 4])
    """
    return mix64(words[..., None] + torch.arange(1, count + 1, device=words.device) * 0x632BE59BD9B4E019)


def uniform(words: Tensor) -> Tensor:
    """float32 in [0, 1), on a grid of 2**-24.

    >>> uniform(torch.tensor([0, -1]))
    tensor([0.0000, 1.0000])
    """
    return (words >> 40 & 0xFFFFFF).float() * UNIT


def normal(words: Tensor, width: int) -> Tensor:
    """``float32[..., width]`` standard normal, by Box-Muller, of ``words[...]``.

    >>> normal(torch.arange(3), 4).shape
    torch.Size([3, 4])
    """
    both = more_words(words, width)
    radius = torch.sqrt(-2.0 * torch.log((both & 0xFFFFFFFF).double().add(0.5) * 2.0**-32))
    return (radius * torch.cos((both >> 32 & 0xFFFFFFFF).double() * (2.0 * math.pi * 2.0**-32))).float()


def below(words: Tensor, count: Tensor | int) -> Tensor:
    """Integers in [0, count), element by element; count < 2**31.

    >>> below(torch.tensor([0, -1]), 10)
    tensor([0, 9])
    """
    return (words & 0xFFFFFFFF) * count >> 32


def permute_rows(words_T: Tensor, layout: Layout) -> Tensor:
    """``int64[T]``: a permutation of the rows that leaves each in its group.

    >>> layout = Layout((2, 3), torch.zeros(5, 0))
    >>> permute_rows(torch.tensor([7, 3, 9, 4, 5]), layout)
    tensor([1, 0, 3, 4, 2])
    """
    order = torch.argsort(words_T, stable=True)
    return order[torch.argsort(layout.group[order], stable=True)]


def undisturbed(device: torch.device | str) -> AbstractContextManager[None]:
    """Within it, torch's generators of the host and of ``device`` may be used; they are then as they were before.

    No other device gets a context, and with several of them nothing warns.

    >>> before = torch.get_rng_state()
    >>> with undisturbed("cpu"):
    ...     drawn = torch.rand(3)
    >>> torch.equal(before, torch.get_rng_state())
    True
    """
    device = torch.device(device)
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
