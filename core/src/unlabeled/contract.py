"""The words that every modality shares: Batch, Layout, Rows, View, Features, Loss, and the protocols around them.

Read this file first. Nothing here knows a modality, and nothing here is imported from the rest of the project.

Shapes, here and everywhere:
    # B samples, G groups (one group per image, clip, graph), T packed token rows of all groups, L rows of the
    # longest group, D features, H rows of a subset, P coordinates of a position, C raw content of a row

Tokens are packed: T counts real tokens only, group after group, and padding never reaches an objective. Lengths live
on the host, so that nothing here waits for an accelerator. Every mask says its sense: hidden = the encoder must not
see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, Self, TypeVar, runtime_checkable

import torch
from torch import Tensor

if TYPE_CHECKING:
    from unlabeled.draw import Draw

Capability = Literal["tokens", "mask", "drop", "swap", "layers"]
Hide = Literal["mask", "drop"]


# ---------------------------------------------------------------------------------------------- data


@runtime_checkable
class Batch(Protocol):
    """What a domain's loader yields. ``ids[B]`` is the index of each sample in its data set.

    ``batch[start:stop]`` gives those samples alone; a domain whose samples cannot be taken apart (the nodes of one
    graph) raises ``TypeError``, and gradient caching refuses it.
    """

    @property
    def ids(self) -> Tensor: ...  # a property, so that a frozen dataclass satisfies it
    def __len__(self) -> int: ...
    def to(self, device: torch.device | str) -> Self: ...
    def __getitem__(self, samples: slice) -> Self: ...


@runtime_checkable
class Data(Protocol):
    """A data set: the component kind ``data``. Constructed as ``(path, *, settings)``, or with ``max_bad`` after path.

    ``__getitems__`` returns a collated :class:`Batch`, read in a worker process; in training, the indices that it is
    called with also say ``seed`` and ``epoch``. ``spec`` is what views, tokenizer and encoder are wired with (vision:
    channels and image size); its type belongs to the domain.

    Optional: ``arrange(ids[N], size)`` puts the ids of an epoch, in their random order, into another, of which each run
    of ``size`` is a batch (samples of like lengths). ``bring(asks)`` is called with what views ask for beside each
    sample (their ``asks``: neighbors), which batches then carry. ``transductive = True`` where samples cannot be held
    out of training (nodes of one graph), though their labels are; ``together`` is how many of them an encoder should be
    given at once, where it reads the whole graph for any.
    """

    spec: Any
    labels: Tensor | None  # [N] class of each sample, -1 unknown; None without labels
    classes: tuple[str, ...]
    test: Tensor | None  # bool[N], True = held out for probes; None where the data set fixes no split

    def __len__(self) -> int: ...
    def __getitems__(self, indices: Sequence[int]) -> Batch: ...
    def describe(self) -> str: ...


# ---------------------------------------------------------------------------------------------- rows and layout


Value = TypeVar("Value")


class computed_once(Generic[Value]):
    """``functools.cached_property`` without the lock that it has before Python 3.12, which breaks ``torch.compile``."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self.compute, self.name, self.__doc__ = compute, compute.__name__, compute.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Value:
        value = self.compute(instance)
        if not torch.compiler.is_compiling():
            instance.__dict__[self.name] = value  # found before this descriptor from now on
        return value


@dataclass(frozen=True)
class Rows:
    """A subset of the T rows: sorted ``index[H]``, and on the host how many fall in each group."""

    index: Tensor
    lengths: tuple[int, ...]

    def __post_init__(self) -> None:
        assert sum(self.lengths) == self.index.numel(), (sum(self.lengths), self.index.shape)

    def __len__(self) -> int:
        return self.index.numel()

    def flags(self, total: int) -> Tensor:
        """bool[T], True at these rows."""
        out = torch.zeros(total, dtype=torch.bool, device=self.index.device)
        return out.index_fill_(0, self.index, True)

    def complement(self, layout: Layout) -> Rows:
        """The rows of ``layout`` that are not in this subset."""
        lengths = tuple(n - h for n, h in zip(layout.lengths, self.lengths, strict=True))
        # argsort of the flags, not nonzero: the count is known on the host, so an accelerator need not be waited for
        order = torch.argsort(self.flags(layout.total).to(torch.uint8), stable=True)
        return Rows(order[: sum(lengths)], lengths)

    def groups(self, start: int, stop: int, layout: Layout) -> Rows:
        """The part that falls in groups ``start:stop``, numbered from the first row of ``start``."""
        begin, end = sum(self.lengths[:start]), sum(self.lengths[:stop])
        return Rows(self.index[begin:end] - layout.offsets[start], self.lengths[start:stop])


@dataclass(frozen=True)
class Layout:
    """Structure of the T token rows, known before any forward pass.

    Args:
        lengths: rows of each group, on the host; their sum is T.
        position: ``[T, P]`` coordinates: P = 0 graph, 1 sequence, 2 or 3 grid.
        grid: the dense grid, where all groups share one and hold it whole.
        edges: ``[2, E]`` into the rows.
        seeds: ``[B]`` rows that are the samples (node level); None where a sample is a group.
        maskable: rows that a mask may touch; None means all.
        address: ``int64[T]`` id that each row draws by, where rows and not groups are the samples: the row's node in
            the data set, so that a node draws the same whichever nodes are the samples of a batch.
    """

    lengths: tuple[int, ...]
    position: Tensor
    grid: tuple[int, ...] | None = None
    edges: Tensor | None = None
    seeds: Tensor | None = None
    maskable: Rows | None = None
    address: Tensor | None = None

    def __post_init__(self) -> None:
        assert sum(self.lengths) == self.position.shape[0], (sum(self.lengths), self.position.shape)

    @property
    def total(self) -> int:
        """T, the number of rows."""
        return self.position.shape[0]

    @computed_once
    def offsets(self) -> tuple[int, ...]:
        """First row of each group, and T: G + 1 numbers."""
        return tuple(accumulate(self.lengths, initial=0))

    @property
    def equal(self) -> bool:
        """Whether all groups have the same number of rows, so that dense is a view."""
        return len(set(self.lengths)) <= 1

    @computed_once
    def group(self) -> Tensor:
        """int64[T], the group of each row."""
        device = self.position.device
        lengths = torch.tensor(self.lengths, device=device)
        return torch.arange(len(self.lengths), device=device).repeat_interleave(lengths, output_size=self.total)

    @computed_once
    def within(self) -> Tensor:
        """int64[T], the place of each row in its group."""
        starts = torch.tensor(self.offsets[:-1], device=self.position.device)
        return torch.arange(self.total, device=self.position.device) - starts[self.group]

    @computed_once
    def _slot(self) -> Tensor:
        return self.group * max(self.lengths, default=0) + self.within

    def dense(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """``x[T, ...] -> [G, L, ...]`` and ``pad[G, L]`` (True = padding), None where lengths are equal."""
        count, longest = len(self.lengths), max(self.lengths, default=0)
        if self.equal:
            return x.reshape(count, longest, *x.shape[1:]), None
        out = x.new_zeros(count * longest, *x.shape[1:]).index_copy(0, self._slot, x)
        lengths = torch.tensor(self.lengths, device=x.device)
        pad = torch.arange(longest, device=x.device)[None] >= lengths[:, None]
        return out.reshape(count, longest, *x.shape[1:]), pad

    def pack(self, x: Tensor) -> Tensor:
        """``x[G, L, ...] -> [T, ...]``: padding is left behind."""
        flat = x.flatten(0, 1)
        return flat if self.equal else flat.index_select(0, self._slot)

    def mean(self, x: Tensor) -> Tensor:
        """Mean of ``x[T, D]`` over the rows of each group: ``[G, D]``."""
        if self.equal:
            return self.dense(x)[0].mean(1)
        total = x.new_zeros(len(self.lengths), *x.shape[1:]).index_add(0, self.group, x)
        return total / torch.tensor(self.lengths, device=x.device, dtype=x.dtype).clamp(min=1)[:, None]

    def select(self, index: Tensor, lengths: tuple[int, ...]) -> Layout:
        """The sub-layout of rows ``index[H]`` (sorted), with the edges among them."""
        new = torch.full((self.total,), -1, dtype=torch.int64, device=index.device)
        new[index] = torch.arange(index.numel(), device=index.device)
        edges = self.edges
        if edges is not None:
            edges = new[edges]
            edges = edges[:, (edges >= 0).all(0)]
        maskable = self.maskable
        if maskable is not None:
            kept = new[maskable.index]
            kept = kept[kept >= 0]
            counts = torch.bincount(self.group[index[kept]], minlength=len(lengths))
            maskable = Rows(kept, tuple(counts.tolist()))
        seeds = None if self.seeds is None else new[self.seeds]
        address = None if self.address is None else self.address[index]
        return Layout(lengths, self.position[index], None, edges, seeds, maskable, address)

    def groups(self, start: int, stop: int) -> Layout:
        """The layout of groups ``start:stop`` alone; of groups with seeds, those that have one each."""
        if self.seeds is not None and len(self.seeds) != len(self.lengths):
            raise TypeError("seeds that share a group cannot be taken apart")
        begin, end = self.offsets[start], self.offsets[stop]
        edges = self.edges
        if edges is not None:
            edges = edges[:, (edges[1] >= begin) & (edges[1] < end)] - begin
        return Layout(
            self.lengths[start:stop],
            self.position[begin:end],
            self.grid,
            edges,
            None if self.seeds is None else self.seeds[start:stop] - begin,
            None if self.maskable is None else self.maskable.groups(start, stop, self),
            None if self.address is None else self.address[begin:end],
        )

    @property
    def all(self) -> Rows:
        """Every row."""
        return Rows(torch.arange(self.total, device=self.position.device), self.lengths)


# ---------------------------------------------------------------------------------------------- views and features


@dataclass(frozen=True)
class View:
    """One view of a batch, and everything that an objective may ask about it.

    Args:
        batch: the transformed batch, as the encoder reads it.
        role: ``global``, ``local``, ``clean``, ``source``, ``target``, ...
        layout: structure of the encoder's rows for this batch.
        hidden: rows that the encoder must not see.
        predict: row sets where losses apply (several for I-JEPA); empty means ``hidden``.
        swap: ``[T]`` the row whose content stands at each row.
        shown: ``[T]`` discrete tokens that stand at each row in place of the batch's own (random words); a mask that
            sets it leaves the batch's own in ``ids``. Read before ``swap``.
        origin: ``[T]`` the place that it had in its group of the source batch, -1 = none.
        content: ``[T, C]`` raw content: patch pixels, frames, node features, cubes.
        ids: ``[T]`` or ``[T, K]`` discrete tokens.
        params: named parameters of the transformation, each ``[B, ...]``.
    """

    batch: Batch
    role: str
    layout: Layout | None = None
    hidden: Rows | None = None
    predict: tuple[Rows, ...] = ()
    swap: Tensor | None = None
    shown: Tensor | None = None
    origin: Tensor | None = None
    content: Tensor | None = None
    ids: Tensor | None = None
    params: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def targets(self) -> tuple[Rows, ...]:
        """The row sets where losses apply: ``predict``, or else ``hidden``."""
        if self.predict:
            return self.predict
        return () if self.hidden is None else (self.hidden,)

    def clean(self) -> View:
        """The same view with nothing hidden or swapped: what a teacher sees."""
        return replace(self, hidden=None, predict=(), swap=None, shown=None)

    def cut(self, start: int, stop: int) -> View:
        """Samples ``start:stop`` of this view, for work in chunks."""
        layout = self.layout
        if layout is None:
            if any(x is not None for x in (self.hidden, self.swap, self.origin, self.content, self.ids)):
                raise TypeError("a view with rows of its own is cut by its layout, and has none")
            params = {name: value[start:stop] for name, value in self.params.items()}
            return replace(self, batch=self.batch[start:stop], params=params)
        if len(layout.lengths) != len(self):
            raise TypeError("only a view whose samples are its groups can be cut")
        begin, end = layout.offsets[start], layout.offsets[stop]

        def rows(x: Tensor | None, shift: int = 0) -> Tensor | None:
            return None if x is None else x[begin:end] - shift

        def content(x: Tensor | None) -> Tensor | None:
            return None if x is None else x[begin:end]

        return replace(
            self,
            batch=self.batch[start:stop],
            layout=layout.groups(start, stop),
            hidden=None if self.hidden is None else self.hidden.groups(start, stop, layout),
            predict=tuple(r.groups(start, stop, layout) for r in self.predict),
            swap=rows(self.swap, begin),
            shown=content(self.shown),
            origin=content(self.origin),
            content=content(self.content),
            ids=content(self.ids),
            params={name: value[start:stop] for name, value in self.params.items()},
        )


@dataclass(frozen=True)
class Features:
    """What an encoder gives back.

    Args:
        tokens: ``[T', D]``.
        layout: structure of these rows.
        pooled: ``[B, D]`` one vector a sample.
        kept: the rows of the view's layout that remain after a drop; None = all.
        prefix: ``[B, R, D]`` class and register tokens.
        layers: features after the layers that were asked for, in that order.
    """

    tokens: Tensor
    layout: Layout
    pooled: Tensor
    kept: Rows | None = None
    prefix: Tensor | None = None
    layers: tuple[Features, ...] = ()


@dataclass(frozen=True)
class Loss:
    """A scalar to minimize, and its named terms for the log (detached scalars, unweighted unless the name says so)."""

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """Where training stands: ``step`` of ``steps`` optimizer steps are done."""

    step: int
    steps: int

    @property
    def fraction(self) -> float:
        """0 at the start, 1 at the end."""
        return min(1.0, self.step / max(1, self.steps))


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What an objective needs around it, checked before step one.

    Args:
        views: least number of views of each role, ``{"global": 2}``.
        uses: further roles that it makes use of when present, ``("local",)``.
        hidden: whether the first view must have hidden rows.
        predict: least number of predict sets of a view (I-JEPA: 4); 0 = none asked for.
        encoder: capabilities that the encoder must have.
        content: whether a tokenizer must give continuous content.
        ids: whether a tokenizer must give discrete ids.
        params: named view parameters that it reads.
        batch: least number of samples in a batch.
        couples: whether the loss couples the samples of a batch, so that gradient caching is of use.
    """

    views: Mapping[str, int]
    uses: tuple[str, ...] = ()
    hidden: bool = False
    predict: int = 0
    encoder: frozenset[Capability] = frozenset()
    content: bool = False
    ids: bool = False
    params: tuple[str, ...] = ()
    batch: int = 1
    couples: bool = False


# ---------------------------------------------------------------------------------------------- protocols


@runtime_checkable
class Views(Protocol):
    """Batched, on the device; may change T. Constructed as ``(spec, *, settings)``.

    ``roles`` names the views that a call will return, in order; ``params`` the parameters that each carries.
    """

    roles: tuple[str, ...]
    params: tuple[str, ...]

    def __call__(self, batch: Any, draw: Draw) -> list[View]: ...


@runtime_checkable
class Tokenizer(Protocol):
    """Continuous content ``[T, C]`` and, where it quantizes, ids, aligned to the encoder's layout.

    Constructed as ``(spec, encoder, *, settings)``. ``width`` is C (0 = none), ``vocabulary`` the number of ids
    (0 = none).

    Optional: ``fit(data: Data, seed: int) -> None`` is called once before training, to learn a codebook. It is called
    again on a resume, so what it learns may depend on the data, the settings and the seed alone.
    """

    width: int
    vocabulary: int

    def __call__(self, batch: Any, layout: Layout) -> tuple[Tensor | None, Tensor | None]: ...


@runtime_checkable
class Mask(Protocol):
    """Sets ``hidden``, ``predict``, ``swap`` or ``shown`` of a view that has its layout; keeps T.

    Constructed as ``(*, settings)``; ``spec`` and ``encoder`` are wired where its constructor names them.

    ``sets`` says which of them it sets, ``targets`` how many predict sets it gives (0 = hidden alone).
    Optional: ``fit(data, seed)``, as of a tokenizer (clusters of words to swap within).
    """

    sets: frozenset[Literal["hidden", "predict", "swap", "shown"]]
    targets: int

    def __call__(self, view: View, draw: Draw) -> View: ...


@runtime_checkable
class Encoder(Protocol):
    """An ``nn.Module`` around a library model. Constructed as ``(spec, *, settings)``.

    ``hide`` says how ``view.hidden`` is kept from the model: its rows replaced by a mask token, or dropped. With
    nothing hidden, the output equals the bare library model's.

    Optional: ``prepare(needs: Needs) -> None`` is called once the objective is known, so that parameters which it
    leaves unused ask for no gradient (a mask token, where rows are dropped or none is hidden). Parameters are neither
    added nor removed there: teachers are copied before. ``resolved``, a mapping, holds the settings that it chose
    itself where the user left them automatic; an encoder is saved with them.
    """

    dim: int
    can: frozenset[Capability]

    def layout(self, batch: Any) -> Layout: ...
    def __call__(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features: ...


@runtime_checkable
class Decoder(Protocol):
    """``tokens[T, D] -> [T, W]``, by the layout's positions or edges. Constructed as ``(dim, width, *, settings)``."""

    def __call__(self, tokens: Tensor, layout: Layout) -> Tensor: ...


class MakeDecoder(Protocol):
    """A decoder component with its settings bound, as objectives receive it."""

    def __call__(self, dim: int, width: int) -> Any: ...


@runtime_checkable
class Objective(Protocol):
    """An ``nn.Module`` that owns heads, teacher, queue and codebook, and never the encoder itself.

    Constructed as ``(encoder, *, settings)``; further positional parameters are wired by name: ``decoder`` (a
    :class:`MakeDecoder`), ``content`` (C of the tokenizer), ``vocabulary``, ``samples`` (size of the data set).
    """

    needs: Needs

    def __call__(self, encoder: Any, views: Sequence[View]) -> Loss: ...
    def after_step(self, encoder: Any, progress: Progress) -> None: ...


@dataclass(frozen=True)
class Embedded:
    """Frozen features of N samples, with labels where there are any.

    Args:
        x: ``[N, D]``, or ``[N, V, D]`` for V views of each sample.
        y: ``[N]`` class of each sample, -1 unknown.
        ids: ``[N]`` index of each sample in its data set; samples that could not be read are missing.
    """

    x: Tensor
    y: Tensor | None = None
    ids: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)


@runtime_checkable
class Baseline(Protocol):
    """Features without a model, ``[B, D]``: raw pixels, mel statistics. Constructed as ``(spec, *, settings)``."""

    def __call__(self, view: View) -> Tensor: ...


@runtime_checkable
class Probe(Protocol):
    """Frozen features -> named numbers. ``spec`` is its frozen name and version, written beside each number."""

    spec: str

    def __call__(self, train: Embedded, test: Embedded) -> dict[str, float]: ...
