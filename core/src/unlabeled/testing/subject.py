"""The domain under test: its data, its parts with default settings, and how two results are compared.

# B samples, T packed rows
"""

import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor

from unlabeled.build import Parts, bring, build, build_data, build_encoder, make
from unlabeled.config.recipes import load_recipe, recipe_files
from unlabeled.config.run import RunConfig, merge, resolve
from unlabeled.contract import Batch, Data, View
from unlabeled.draw import Draw
from unlabeled.plugins.registry import Registry, registry
from unlabeled.plugins.words import Component, Domain

BATCH = 16


class NotApplicable(Exception):  # noqa: N818 - no error: the check has nothing to look at in this domain
    """Says why a check does not apply."""


def ensure(condition: object, claim: str, found: object) -> None:
    """``AssertionError("ensure that CLAIM: found FOUND")`` unless ``condition``."""
    if not condition:
        raise AssertionError(f"ensure that {claim}: found {found}")


@dataclass(frozen=True)
class Subject:
    """A domain with its default data, from which checks take what they need.

    Every method that returns a part makes a new one, so that no check sees what another did to it.
    """

    domain: str
    found: Registry

    @property
    def row(self) -> Domain:
        return self.found.domain(self.domain)

    def rows(self, kind: str) -> list[Component]:
        """The domain's own components of a kind, and core's where it has none; families only as a default."""
        own = [c for c in self.row.components if c.kind == kind and not c.name.endswith("/*")]
        default = self.row.defaults.get(kind)
        if default and default not in {c.name for c in own}:
            own.append(self.found.find(self.domain, kind, default))
        return own

    def name(self, row: Component) -> str:
        """As a user writes it: of a family, the default member."""
        return self.row.defaults[row.kind] if row.name.endswith("/*") else row.name

    # ------------------------------------------------------------------------------------------ configs

    @cached_property
    def recipes(self) -> tuple[str, ...]:
        return tuple(recipe_files(self.domain))

    def config(self, recipe: str | None = None, /, **parts: Any) -> RunConfig:
        """The domain's defaults, or a recipe, at batch size :data:`BATCH` and seed 0."""
        raw = load_recipe(self.domain, recipe) if recipe else {}
        training = {"batch_size": BATCH, "accumulate": 1, "micro_batch": 0}
        return resolve(merge(raw, {"training": training, **parts}), self.domain)

    def parts(self, recipe: str | None = None, seed: int = 0) -> Parts:
        """Everything of a run, in training mode, with dropout off."""
        config = self.config(recipe).with_training(seed=seed)
        same = config.parts["data"] == self.config().parts["data"]
        parts = build(config, self.data if same else None)
        still(parts.encoder.train())
        still(parts.objective.train())
        return parts

    # ------------------------------------------------------------------------------------------ data and views

    @cached_property
    def data(self) -> Data:
        return build_data(self.config())

    def ids(self, count: int = BATCH, first: int = 0) -> list[int]:
        """``count`` indices, spread over the data set."""
        total = len(self.data)
        count = min(count, total)
        return sorted({(first + i * total // count) % total for i in range(count)})

    def batch(self, ids: Sequence[int] | None = None) -> Any:
        return self.data.__getitems__(self.ids() if ids is None else list(ids))

    def make(self, row: Component, encoder: Any = None) -> Any:
        """A component with its default settings."""
        wired = {"spec": self.data.spec, "encoder": encoder}
        made = make(self.domain, row.kind, self.name(row), {}, wired)
        if row.kind == "views":
            bring(self.data, made)
        return made

    def views(self, row: Component, ids: Sequence[int] | None = None, epoch: int = 0) -> list[View]:
        """What a views component makes of a batch."""
        views = self.make(row)
        bring(self.data, views)
        batch = self.batch(ids)
        made: list[View] = views(batch, Draw(7, epoch, batch.ids))
        return made

    def clean(self, ids: Sequence[int] | None = None) -> View:
        """The view that features are taken from."""
        name = self.row.defaults.get("clean", self.row.defaults.get("views", ""))
        return self.views(self.found.find(self.domain, "views", name), ids)[0]

    def encoder(self, name: str | None = None, seed: int = 0) -> Any:
        """An encoder with its default settings, in evaluation mode."""
        config = self.config(**({"encoder": {"name": name}} if name else {})).with_training(seed=seed)
        return build_encoder(config, self.data.spec).eval()

    def encoders(self, seed: int = 0) -> Iterator[tuple[str, Any]]:
        """Name and a new one, of each encoder."""
        for row in self.rows("encoder"):
            yield self.name(row), self.encoder(self.name(row), seed)

    def tokenizer(self, encoder: Any) -> Any:
        """The default tokenizer, or None."""
        name = self.row.defaults.get("tokenizer")
        return self.make(self.found.find(self.domain, "tokenizer", name), encoder) if name else None

    def mask(self, encoder: Any) -> Any:
        """The default mask, or core's random one."""
        name = self.row.defaults.get("mask", "random")
        return self.make(self.found.find(self.domain, "mask", name), encoder)

    def placed(self, encoder: Any, view: View | None = None) -> View:
        """A view with its layout."""
        view = self.clean() if view is None else view
        return view if view.layout is not None else replace(view, layout=encoder.layout(view.batch))

    def hidden(self, encoder: Any, view: View | None = None) -> View:
        """A view under the default mask."""
        view = self.placed(encoder, view)
        masked: View = self.mask(encoder)(view, Draw(7, 0, view.batch.ids))
        return masked


def subject(domain: str) -> Subject:
    """The domain under test; its data are read once."""
    return _subject(domain, registry())


@cache
def _subject(domain: str, found: Registry) -> Subject:
    return Subject(domain, found)


def still(module: torch.nn.Module) -> None:
    """Switch off dropout and stochastic depth, of whatever library: modules named after dropping."""
    for part in module.modules():
        if "drop" in type(part).__name__.lower():
            part.eval()


def weights(encoder: Any, objective: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters that learn, by name."""
    named = [*encoder.named_parameters(prefix="encoder"), *objective.named_parameters(prefix="objective")]
    return {name: parameter for name, parameter in named if parameter.requires_grad}


def reload(saved: torch.nn.Module, other: torch.nn.Module) -> None:
    """Put the state of ``saved`` into ``other`` by way of a file, as a checkpoint does."""
    file = io.BytesIO()
    torch.save(saved.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))


# ------------------------------------------------------------------------------------------------- comparing


def difference(a: Any, b: Any, tolerance: float = 0.0, where: str = "it") -> str:
    """The first place where two results differ, in words; empty where they agree.

    Floats may differ by ``tolerance`` times the greatest magnitude. Objects are compared field by field.
    """
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return _tensors(a, b, tolerance, where)
    if type(a) is not type(b):
        return f"{where} is {type(a).__name__} and {type(b).__name__}"
    if isinstance(a, Mapping):
        if a.keys() != b.keys():
            return f"{where} has keys {sorted(a)} and {sorted(b)}"
        return _first(difference(a[k], b[k], tolerance, f"{where}[{k!r}]") for k in a)
    if isinstance(a, (list, tuple)):
        if len(a) != len(b):
            return f"{where} has {len(a)} and {len(b)} entries"
        return _first(difference(x, y, tolerance, f"{where}[{i}]") for i, (x, y) in enumerate(zip(a, b, strict=True)))
    if dataclasses.is_dataclass(a):
        names = [f.name for f in dataclasses.fields(a)]
        return _first(difference(getattr(a, n), getattr(b, n), tolerance, f"{where}.{n}") for n in names)
    if hasattr(a, "__dict__") and vars(a):
        return _first(difference(vars(a)[n], vars(b).get(n), tolerance, f"{where}.{n}") for n in vars(a))
    return "" if bool(a == b) else f"{where} is {a!r} and {b!r}"


def _first(found: Iterator[str]) -> str:
    return next((text for text in found if text), "")


def _tensors(a: Tensor, b: Tensor, tolerance: float, where: str) -> str:
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{where} is {a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)}"
    if a.numel() == 0 or torch.equal(a, b):
        return ""
    if not a.is_floating_point():
        return f"{where} differs in {int((a != b).sum())} of {a.numel()} places"
    gap = float((a.detach() - b.detach()).abs().max())
    limit = tolerance * max(1.0, float(b.detach().abs().max()))
    # written so that a NaN, which compares false with everything, is a difference
    return "" if gap <= limit else f"{where} differs by up to {gap:.2g} (limit {limit:.2g})"


def tensors(batch: Batch) -> dict[str, Tensor]:
    """The tensors that a batch holds directly, by field, besides its ids."""
    if dataclasses.is_dataclass(batch):
        fields = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    else:
        fields = dict(vars(batch))
    return {name: value for name, value in fields.items() if isinstance(value, Tensor) and name != "ids"}
