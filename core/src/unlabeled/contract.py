"""The words that every modality shares: Batch, Layout, Rows, View, Features, Loss, and the protocols around them.

Read this file first, then ``layout.py``, where Layout and Rows stand: the contract is these two. Nothing in them knows
a modality, and nothing in them is imported from the rest of the project.

Shapes, here and everywhere:
    # B samples, G groups (one group per image, clip, graph), T packed token rows of all groups, L rows of the
    # longest group, D features, H rows of a subset, P coordinates of a position, C raw content of a row

Tokens are packed: T counts real tokens only, group after group, and padding never reaches an objective. Lengths live
on the host, so that nothing here waits for an accelerator. Every mask says its sense: hidden = the encoder must not
see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from unlabeled.layout import Layout as Layout
from unlabeled.layout import Rows as Rows
from unlabeled.layout import computed_once as computed_once

if TYPE_CHECKING:
    from unlabeled.draw import Draw

Capability = Literal["tokens", "mask", "drop", "swap", "layers", "local"]
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


@dataclass(frozen=True)
class Targets:
    """What is known of each sample beside its class: numbers, or labels of which several may hold.

    Args:
        values: ``[N, K]``, NaN = unknown; 0 or 1 where ``kind`` is ``multilabel``.
        names: of the K columns.
        kind: what they are.
    """

    values: Tensor
    names: tuple[str, ...]
    kind: Literal["regression", "multilabel"]


@runtime_checkable
class Data(Protocol):
    """A data set: the component kind ``data``. Constructed as ``(path, *, settings)``, or with ``max_bad`` after path.

    ``__getitems__`` returns a collated :class:`Batch`, read in a worker process; in training, the indices that it is
    called with also say ``seed`` and ``epoch``. ``spec`` is what views, tokenizer and encoder are wired with (vision:
    channels and image size); its type belongs to the domain.

    Optional:
        ``arrange(ids[N], size)`` puts the ids of an epoch, in their random order, into another, of which each run of
        ``size`` is a batch (samples of like lengths).
        ``batches(ids[N], size, parts)`` makes the batches themselves, ``N // size`` of them, each of a number of
        samples that ``parts`` divides (batches of like seconds).
        ``even`` is set: True where the loss is one of samples, not of their rows (:attr:`Needs.per_sample`), so that
        batches of as many samples each weigh all alike.
        ``bring(asks)`` is called with what views ask for beside each sample, which batches then carry.
        ``report(batch) -> Sequence[str]``: what the log says of a batch (samples that could not be read).
        ``names[N]``: what the user calls each sample: its path in the data, its text, the name of its node.
        ``bad``: the reason for each sample that could not be read so far, by its name.
        ``val[N]``: bool, True = kept apart: neither trained on nor probed.
        ``targets``: :class:`Targets`, or None.
        ``folds[N]``: the fold of each sample, -1 = none (of train in every one).
        ``groups``: a name for each sample (its patient, its speaker); no split has one group on both sides.
        ``transductive = True`` where samples cannot be held out of training (nodes of one graph), though their labels
        are.
        ``together``: how many samples an encoder should be given at once, where it reads the whole graph for any.
        Whatever a probe of the domain asks for in its ``applies``: ``speakers`` (audio), ``regions`` and ``has_mask``
        (medical3d), ``tags``, ``pairs`` with ``scores``, ``pair_labels`` and ``pair_test``, ``links``, ``choices`` with
        ``choice_test`` (text).
    """

    spec: Any
    labels: Tensor | None  # [N] class of each sample, -1 unknown; None without labels
    classes: tuple[str, ...]
    test: Tensor | None  # bool[N], True = held out for probes; None where the data set fixes no split

    def __len__(self) -> int: ...
    def __getitems__(self, indices: Sequence[int]) -> Batch: ...
    def describe(self) -> str: ...


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


def role(views: Sequence[View], name: str) -> list[View]:
    """The views of that role, in their order."""
    return [view for view in views if view.role == name]


def global_first(views: Sequence[View]) -> list[View]:
    """All views, those of role ``global`` before the others."""
    return sorted(views, key=lambda view: view.role != "global")


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
        feed: ``[T', D]`` of a layer, what its feed-forward part gave before it was added; None where it has none.
    """

    tokens: Tensor
    layout: Layout
    pooled: Tensor
    kept: Rows | None = None
    prefix: Tensor | None = None
    layers: tuple[Features, ...] = ()
    feed: Tensor | None = None


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
        decoder: whether it is given a decoder.
        content: least numbers of continuous content that a tokenizer must give a row; 0 = none asked for.
        vocabulary: least number of discrete ids that a tokenizer must tell apart; 0 = none asked for.
        params: named view parameters that it reads.
        batch: least number of samples in a batch.
        couples: whether the loss couples the samples of a batch, so that gradient caching is of use.
        through: whether it asks for gradients through the encoder as it computes the loss, which caching cannot give.
    """

    views: Mapping[str, int]
    uses: tuple[str, ...] = ()
    hidden: bool = False
    predict: int = 0
    encoder: frozenset[Capability] = frozenset()
    decoder: bool = False
    content: int = 0
    vocabulary: int = 0
    params: tuple[str, ...] = ()
    batch: int = 1
    couples: bool = False
    through: bool = False

    @property
    def per_sample(self) -> bool:
        """Whether it reads one vector a sample, and no rows: a loss of samples, not of their parts."""
        return not (self.hidden or self.predict or self.content or self.vocabulary or "tokens" in self.encoder)


# ---------------------------------------------------------------------------------------------- protocols


@runtime_checkable
class Views(Protocol):
    """Batched, on the device; may change T. Constructed as ``(spec, *, settings)``.

    ``roles`` names the views that a call will return, in order; ``params`` the parameters that each carries.

    Optional: ``asks``, what the data must bring beside each sample (``("near",)``: its neighbors).
    """

    roles: tuple[str, ...]
    params: tuple[str, ...]

    def __call__(self, batch: Any, draw: Draw) -> list[View]: ...


@runtime_checkable
class Tokenizer(Protocol):
    """Continuous content ``[T, C]`` and, where it quantizes, ids, aligned to the encoder's layout.

    Constructed as ``(spec, encoder, *, settings)``. ``width`` is C (0 = none), ``vocabulary`` the number of ids
    (0 = none).

    Optional:
        ``fit(data: Data, seed: int) -> None`` is called once before training, to learn a codebook. It is called again
        on a resume, so what it learns may depend on the data, the settings and the seed alone.
        ``alter(batch, layout, rows, draw) -> Batch``: the batch with other content at ``rows`` alone. The checks call
        it where content of rows does not come from float tensors of the batch.
    """

    width: int
    vocabulary: int

    def __call__(self, batch: Any, layout: Layout) -> tuple[Tensor | None, Tensor | None]: ...


@runtime_checkable
class Mask(Protocol):
    """Sets ``hidden``, ``predict``, ``swap`` or ``shown`` of a view that has its layout; keeps T.

    Constructed as ``(*, settings)``; ``spec`` and ``encoder`` are wired where its constructor names them.

    ``sets`` says which of them it sets, ``targets`` how many predict sets it gives (0 = hidden alone).

    Optional:
        ``fit(data, seed)``, as of a tokenizer (clusters of words to swap within).
        ``flat = True`` where it prefers no row, ``exact = False`` where it cannot hide a number of rows to one (whole
        words), ``ratio``, the share that it hides: what the checks hold it to.
    """

    sets: frozenset[Literal["hidden", "predict", "swap", "shown"]]
    targets: int

    def __call__(self, view: View, draw: Draw) -> View: ...


@runtime_checkable
class Encoder(Protocol):
    """An ``nn.Module`` around a library model. Constructed as ``(spec, *, settings)``.

    ``hide`` says how ``view.hidden`` is kept from the model: its rows replaced by a mask token, or dropped. With
    nothing hidden, the output equals the bare library model's.

    Optional:
        ``prepare(needs: Needs) -> None`` is called once the objective is known, so that parameters which it leaves
        unused ask for no gradient (a mask token, where rows are dropped or none is hidden). Parameters are neither
        added nor removed there: teachers are copied before.
        ``resolved``, a mapping: the settings that it chose itself where the user left them automatic; an encoder is
        saved with them.
        ``bare(view) -> (tokens, pooled)``, the library model alone: what the checks compare it with; None = not given.
        ``mask_token``, the parameter that stands at hidden rows.
        ``embed``, the module that makes rows of the input, and ``blocks``, those that the rows go through, for teachers
        that average the blocks alone.
        ``cannot``: why it lacks a capability, by its name, where another encoder would lack it as well.
        What only objectives and masks of its domain read: ``local_dim``, width of convolutional features (audio's
        wav2vec 2.0, which gives them as ``local`` and ``normed`` beside ``Features``), ``bands`` of a row
        (spectrograms), ``strides`` (medical3d), ``word_embeddings``, ``causal``, ``decode`` and ``parts`` (text).
    """

    dim: int
    can: frozenset[Capability]

    def layout(self, batch: Any) -> Layout: ...
    def __call__(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features: ...


@runtime_checkable
class Decoder(Protocol):
    """``tokens[T, D] -> [T, W]``, by the layout's positions or edges. Constructed as ``(dim, width, *, settings)``.

    Optional: ``partial = True`` where it takes ``rows=index[H]`` and gives these alone, ``[H, W]``; ``mixes = False``
    where it decodes each row from that row alone, so that a row which is emptied before it tells nothing.
    """

    def __call__(self, tokens: Tensor, layout: Layout) -> Tensor: ...


class MakeDecoder(Protocol):
    """A decoder component with its settings bound, as objectives receive it."""

    def __call__(self, dim: int, width: int) -> Any: ...


@runtime_checkable
class Objective(Protocol):
    """An ``nn.Module`` that owns heads, teacher, queue and codebook, and never the encoder itself.

    Constructed as ``(encoder, *, settings)``; further positional parameters are wired by name: ``decoder`` (a
    :class:`MakeDecoder`), ``content`` (C of the tokenizer), ``vocabulary``, ``samples`` (size of the data set),
    ``frozen`` (the encoder of the run that the setting ``run`` or ``teacher`` names, None where it is empty). What
    ``needs`` asks for is there: a run without it ends before step one, with what to choose.

    Optional: ``after_step(encoder, progress) -> None`` is called after each optimizer step, once its weights have moved
    (teachers, queues); the clocks in it go on by themselves. ``cause``, a string: what usually makes it collapse, said
    by the collapse watch. ``steady``, names of modules whose learning rate the run's schedule leaves alone.
    ``projector``, a module whose output the watch looks at, beside the encoder's. ``former``,
    ``{"old.": "new."}``: what its state was called in earlier versions.

    >>> class Agree(nn.Module):
    ...     def __init__(self, encoder):
    ...         super().__init__()
    ...         self.needs = Needs(views={"global": 2})
    ...     def forward(self, encoder, views):
    ...         a, b = (encoder(view).pooled for view in role(views, "global"))
    ...         return Loss((a - b).square().mean())
    """

    needs: Needs

    def __call__(self, encoder: Any, views: Sequence[View]) -> Loss: ...


@dataclass(frozen=True)
class Embedded:
    """Frozen features of N samples, with labels where there are any.

    Args:
        x: ``[N, D]``, or ``[N, V, D]`` for V views of each sample.
        y: ``[N]`` class of each sample, -1 unknown.
        ids: ``[N]`` index of each sample in its data set; samples that could not be read are missing.
        targets: of these samples, where a probe asks for targets.
    """

    x: Tensor
    y: Tensor | None = None
    ids: Tensor | None = None
    targets: Targets | None = None

    def __len__(self) -> int:
        return len(self.x)


@runtime_checkable
class Baseline(Protocol):
    """Features without a model, ``[B, D]``: raw pixels, mel statistics. Constructed as ``(spec, *, settings)``.

    Optional:
        ``applies(data) -> bool``, whether it has anything to say of this data.
        ``fit(data, ids[N])`` is called with the ids of train; ``data`` gives these alone meanwhile, and no label.
        ``rows(view) -> Features | None``, ``sparse(ids) -> Matrix``: rows of a volume, sparse counts of texts, where a
        probe of the domain reads them.
    """

    def __call__(self, view: View) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Asks:
    """What a probe asks for.

    Args:
        reads: ``features`` of train and test, or the frozen ``encoder`` with its data (``unlabeled.probes.frozen``).
        labels: whether it is asked only where the data has labels, of every row; else of the encoders alone.
        targets: kinds of ``data.targets`` that it is asked for, of every row; empty = none.
        fractions: whether it is asked with 10 labels per class, 1 %, 10 % and all.
        views: of each sample, by the run's views, which it reads as ``train.x[N, V, D]``; 0 = the clean one.
        samples: the most samples of train that it reads; 0 = all.
        kinds: the rows that it can score where it reads the encoder; empty = all.
        draws: whether it draws something itself (labels, negatives), so that it is asked with every seed.
    """

    reads: Literal["features", "encoder"] = "features"
    labels: bool = False
    targets: tuple[str, ...] = ()
    fractions: bool = False
    views: int = 0
    samples: int = 0
    kinds: tuple[str, ...] = ()
    draws: bool = False


@runtime_checkable
class Probe(Protocol):
    """Frozen features -> named numbers. ``spec`` is its frozen name and version, written beside each number.

    Optional: ``applies(data) -> bool``, whether it has anything to measure on this data. One that reads the encoder is
    called with ``unlabeled.probes.frozen.Frozen`` alone, and may have ``chance(frozen)``, what a guess scores. One that
    reads features may have ``guess(train, test)``, what a guess scores that knows the labels of train alone, and
    ``predict(train, test) -> (guess[M], truth[M])``, the classes of test that have a label: its numbers are then
    ``unlabeled.probes.scores.classification``, kept with each class and the confusion. Either may have ``quick``, the
    settings that it is made with where a table is to be quick: its ``spec`` then says them.
    """

    spec: str
    asks: Asks

    def __call__(self, train: Embedded, test: Embedded) -> dict[str, float]: ...
