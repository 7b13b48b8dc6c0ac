"""The smallest things that fulfil the contract: a batch, views of it, an encoder, a decoder. For tests of objectives.

Everything about a sample follows from its id, so a batch cut over ranks holds what the whole one holds.

    # B samples, T packed rows, D features, C raw content of a row
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlabeled.contract import Features, Hide, Layout, Needs, Rows, View
from unlabeled.draw import Draw
from unlabeled.masks.rows import choose, keys
from unlabeled.nn.chance import permute_rows
from unlabeled.nn.distributed import BatchNorm
from unlabeled.nn.rows import drop, edit, learn_mask_token

IMAGE = (1, 8, 8)  # C, H, W
PATCH = 2
CAN = frozenset({"tokens", "mask", "drop", "swap", "layers"})


@dataclass
class ToyBatch:
    """``x[B, C, H, W]`` images, or ``x[B, L, F]`` sequences of L rows."""

    ids: Tensor
    x: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str) -> ToyBatch:
        return ToyBatch(self.ids.to(device), self.x.to(device))

    def __getitem__(self, samples: slice) -> ToyBatch:
        return ToyBatch(self.ids[samples], self.x[samples])


def toy_batch(ids: Sequence[int] | Tensor | range, shape: tuple[int, ...] = IMAGE, seed: int = 0) -> ToyBatch:
    """Samples of standard normal numbers, each a function of its id: ``(C, H, W)`` images or ``(L, F)`` sequences."""
    ids = torch.as_tensor(list(ids) if isinstance(ids, range) else ids, dtype=torch.int64)
    count = int(torch.tensor(shape).prod())
    return ToyBatch(ids, Draw(seed, 0, ids).normal(count, 2000).reshape(-1, *shape))


def toy_views(
    batch: ToyBatch,
    roles: Sequence[str] = ("global", "global"),
    encoder: ToyEncoder | None = None,
    *,
    noise: float = 0.3,
    seed: int = 0,
) -> list[View]:
    """One noisy view a role; a ``local`` view is a corner of half the side. With an encoder: layout and content too."""
    views = []
    for number, role in enumerate(roles):
        draw = Draw(seed, 0, batch.ids, number)
        x = batch.x + noise * draw.normal(batch.x[0].numel(), 2001).reshape(batch.x.shape)
        if role == "local":
            x = x[..., : x.shape[-2] // 2, : x.shape[-1] // 2] if x.dim() == 4 else x[:, : x.shape[1] // 2]
        view = View(replace(batch, x=x), role)
        if encoder is not None:
            layout = encoder.layout(view.batch)
            view = replace(view, layout=layout, content=patches(x).flatten(0, 1))
        views.append(view)
    return views


def toy_hide(view: View, count: int, seed: int = 0) -> View:
    """The view with ``count`` rows of each group hidden, drawn by sample id; its layout must be set."""
    layout = view.layout
    assert layout is not None
    assert layout.equal
    length = layout.lengths[0]
    order = Draw(seed, 0, view.batch.ids).permutation(length, 2002)[:, :count].sort(dim=1).values
    index = order + torch.arange(len(order))[:, None] * length
    return replace(view, hidden=Rows(index.flatten(), (count,) * len(order)))


def views_for(
    encoder: Any, needs: Needs, ids: Sequence[int], scale: float = 1.0, dtype: torch.dtype = torch.float32
) -> list[View]:
    """Views of toy images with whatever ``needs`` asks for; samples hide 2 or 4 rows, so that means over rows count.

    Each row has its pixels as content and two of their signs as one of 4 ids; a ``corrupt`` view swaps the rows of
    each sample; a named parameter is ``[B, V]`` in [0, 1), V the most views of a role.
    """
    batch = toy_batch(ids)
    batch.x = (batch.x * scale).to(dtype)
    roles = [role for role, count in needs.views.items() for _ in range(count)] + list(needs.uses)
    views = toy_views(batch, roles, encoder, noise=0.3 * scale)
    return [_with_needs(view, needs, number) for number, view in enumerate(views)]


def _with_needs(view: View, needs: Needs, number: int) -> View:
    layout, content, draw = view.layout, view.content, Draw(0, 0, view.batch.ids, number)
    assert layout is not None
    assert content is not None
    width = max(needs.views.values())
    params = {name: draw.uniform(width, 2010 + i).to(content.dtype) for i, name in enumerate(needs.params)}
    view = replace(view, ids=(content[:, :2] > 0).long() @ torch.tensor([1, 2]), params=params)
    if view.role == "corrupt":
        view = replace(view, swap=permute_rows(keys(layout, draw, 2003), layout))
    if not needs.hidden or view.role not in ("global", "source"):
        return view
    counts = [2 + 2 * (i % 2) for i in view.batch.ids.tolist()]
    sets = tuple(choose(keys(layout, draw, 2004 + n), layout, counts) for n in range(max(2, needs.predict)))
    if not needs.predict:
        return replace(view, hidden=sets[0])
    index = torch.cat([rows.index for rows in sets]).unique()
    lengths = torch.bincount(layout.group[index], minlength=len(layout.lengths))
    return replace(view, hidden=Rows(index, tuple(lengths.tolist())), predict=sets)


def patches(x: Tensor) -> Tensor:
    """``[B, C, H, W] -> [B, L, C]`` squares of PATCH; a sequence as it is."""
    if x.dim() == 3:
        return x
    return torch.nn.functional.unfold(x, PATCH, stride=PATCH).transpose(1, 2)


@dataclass(frozen=True)
class LocalFeatures(Features):
    """Features of an encoder with a convolutional front end: ``local[T, C]`` of each row, and the same after a norm."""

    local: Tensor | None = None
    normed: Tensor | None = None


class ToyDecoder(nn.Module):
    """Lets the rows of a sample see each other."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.mix, self.out = nn.Linear(dim, dim), nn.Linear(dim, width)

    def forward(self, tokens: Tensor, layout: Layout) -> Tensor:
        return self.out(tokens + self.mix(layout.mean(tokens))[layout.group])


class ToyEncoder(nn.Module):
    """Embeds rows, mixes them through one summary vector a sample, and can do all that the contract knows.

    Args:
        content: C, numbers in a row: channels * PATCH**2 of images, F of sequences.
        dim: D.
        depth: blocks.
        norm: of a block; ``batch`` couples samples as a BatchNorm encoder does.
        dropout: share of a block's activations set to zero in training.
        local: width of features of each row before any mixing, as of a convolutional front end; 0 = none.
    """

    def __init__(
        self,
        content: int = PATCH * PATCH,
        dim: int = 8,
        *,
        depth: int = 2,
        norm: Literal["layer", "batch", "none"] = "layer",
        dropout: float = 0.0,
        local: int = 0,
    ) -> None:
        super().__init__()
        self.dim, self.local_dim = dim, local
        self.can = CAN | {"local"} if local else CAN
        self.embed = nn.Linear(content, dim)
        self.place = nn.Linear(2, dim)
        self.mask_token = nn.Parameter(torch.randn(dim))
        self.cls = nn.Parameter(torch.randn(dim))
        self.blocks = nn.ModuleList(_Block(dim, norm, dropout) for _ in range(depth))
        self.local = nn.Linear(content, local) if local else None

    prepare = learn_mask_token

    def layout(self, batch: Any) -> Layout:
        x = batch.x
        if x.dim() == 3:
            grid: tuple[int, ...] = (x.shape[1],)
            rows = torch.arange(x.shape[1], device=x.device)[:, None]
        else:
            grid = (x.shape[-2] // PATCH, x.shape[-1] // PATCH)
            rows = torch.cartesian_prod(*(torch.arange(n, device=x.device) for n in grid))
        return Layout((len(rows),) * len(x), rows.repeat(len(x), 1), grid)

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        layout = view.layout or self.layout(view.batch)
        batch: Any = view.batch
        x_TD = edit(self.embed(patches(batch.x).flatten(0, 1)), view, hide, self.mask_token)
        position = layout.position.to(x_TD.dtype)
        x_TD = x_TD + self.place(position.expand(-1, 2) if position.shape[1] == 1 else position)
        x_TD, layout, kept = drop(x_TD, view, layout, hide)
        features = self._blocks(x_TD, layout, kept, layers)
        if self.local is None:
            return features
        local = self.local(patches(batch.x).flatten(0, 1))
        normed = nn.functional.layer_norm(local, local.shape[1:])
        return LocalFeatures(**vars(features), local=local, normed=normed)

    def _blocks(self, x_TD: Tensor, layout: Layout, kept: Rows | None, layers: Sequence[int]) -> Features:
        summary_BD = layout.mean(x_TD) + self.cls
        states = []
        for block in self.blocks:
            before, (x_TD, summary_BD) = x_TD, block(x_TD, summary_BD, layout)
            pooled, feed = summary_BD + layout.mean(x_TD), x_TD - before
            states.append(Features(x_TD, layout, pooled, kept, summary_BD[:, None], feed=feed))
        return replace(states[-1], feed=None, layers=tuple(states[number] for number in layers))


class _Block(nn.Module):
    def __init__(self, dim: int, norm: str, dropout: float) -> None:
        super().__init__()
        norms: dict[str, Any] = {"layer": nn.LayerNorm, "batch": BatchNorm}
        self.norm = norms[norm](dim) if norm in norms else nn.Identity()
        self.mix = nn.Linear(dim, dim)
        self.change = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim))

    def forward(self, x_TD: Tensor, summary_BD: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        summary_BD = summary_BD + self.mix(layout.mean(x_TD))
        return x_TD + self.change(self.norm(x_TD + summary_BD[layout.group])), summary_BD
