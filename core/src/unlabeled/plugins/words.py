"""The words of a plugin: kinds, rows of strings, a domain, and the two hooks. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import pluggy

from unlabeled.errors import PluginError, near

CONTRACT = 1
GROUP = "unlabeled"
Kind = Literal[
    "data",
    "views",
    "tokenizer",
    "mask",
    "encoder",
    "decoder",
    "objective",
    "probe",
    "baseline",
    "export",
    "preview",
    "logger",
    "schedule",
    "optimizer",
    "select",
    "command",
]
KINDS: tuple[str, ...] = get_args(Kind)
ROLES = {"files": "data", "clean": "views"}  # defaults of a domain that are no kind of their own
# where the components of a kind live in their package: a folder, or one file while it has one
ROOMS: Mapping[Kind, str] = {
    "data": "data",
    "views": "views",
    "tokenizer": "tokenizers",
    "mask": "masks",
    "encoder": "encoders",
    "decoder": "decoders",
    "objective": "objectives",
    "probe": "probes",
    "baseline": "baselines",
    "export": "export",
    "preview": "preview",
    "logger": "training.loggers",
    "schedule": "training.schedules",
    "optimizer": "training.optimizers",
    "select": "select",
    "command": "commands",
}

hookspec = pluggy.HookspecMarker("unlabeled")
hookimpl = pluggy.HookimplMarker("unlabeled")


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """One row of a plugin's table.

    Args:
        kind: what it is.
        name: how users write it. A name that ends in ``/*`` serves a family (``timm/*``): what stands for the star
            is the constructor's first positional argument.
        target: ``package.module:Name``, imported on first use.
        summary: one line, shown by ``unlabeled list``.
        paper: arXiv id or DOI.
        extra: the pip extra that it needs, ``unlabeled-audio[flac]``.
        aliases: other names that it answers to: what it was called before, or is called in a paper.
        asks: of an objective, what it needs of other parts beside views of role ``global`` and pooled features, each
            ``kind:word``: ``mask:hidden``, ``tokenizer:content``, ``encoder:drop``, ``views:source``.
        gives: of views, masks, tokenizers, encoders and decoders, the words that an objective may ask for: roles and
            parameters of views, what a mask sets (``hidden`` where it hides rows or shows others in their place,
            ``predict`` where it gives sets of its own), ``content`` and ``ids`` of a tokenizer, what an encoder can.
            Where no row of a kind says, all is taken to be given.
        brings: of an encoder, ``package.module:function`` of its name and settings: the settings of the data that
            belong to it (a tokenizer), used where the user gives none.
    """

    kind: Kind
    name: str
    target: str
    summary: str
    paper: str = ""
    extra: str = ""
    aliases: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    brings: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PluginError(f"component {self.name!r} has unknown kind {self.kind!r}.{near(self.kind, KINDS)}")
        if self.target.count(":") != 1:
            raise PluginError(f"component {self.name!r} has target {self.target!r}; it must read 'package.module:Name'")


def row(
    package: str, kind: Kind, name: str, place: str, summary: str, paper: str = "", extra: str = "", **words: Any
) -> Component:
    """A :class:`Component` that lives in its kind's room; a table calls it as ``partial(row, "unlabeled_seismic")``.

    Args:
        place: within the room: ``Name`` in a room of one file, ``module:Name`` in a folder.
        words: ``aliases``, ``asks``, ``gives`` and ``brings``.
    """
    module, _, attribute = place.rpartition(":")
    target = f"{'.'.join(filter(None, (package, ROOMS[kind], module)))}:{attribute}"
    return Component(kind=kind, name=name, target=target, summary=summary, paper=paper, extra=extra, **words)


@dataclass(frozen=True, kw_only=True, slots=True)
class Domain:
    """A modality: its components, and which of them are the default.

    Args:
        name: as on the command line.
        summary: one line.
        contract: the :data:`CONTRACT` that it was written for.
        sample: what one sample is, with shape and unit.
        components: its table.
        defaults: the default component of each kind; besides kinds, ``files`` names the data component that reads
            a user's path, and ``clean`` the views that features are taken from.
        spec: target of the frozen dataclass that ``Data.spec`` is made of; an encoder is saved with its fields.
        training: training settings where neither a recipe nor the user says them (``{"batch_size": 16}``: volumes are
            large and few).
        on_host: whether views, tokens and masks are made where the batch was read and are then sent at once: for
            samples of ids, a device would be waited for at each step of theirs.
    """

    name: str
    summary: str
    contract: int
    sample: str
    components: tuple[Component, ...]
    defaults: Mapping[str, str] = field(default_factory=dict)
    spec: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    on_host: bool = False


@hookspec
def unlabeled_domain() -> Domain:  # type: ignore[empty-body]
    """Return the domain that this plugin brings."""


@hookspec
def unlabeled_components(domain: str) -> Sequence[Component]:  # type: ignore[empty-body]
    """Return components to add to ``domain``; called once for each domain that is loaded."""
