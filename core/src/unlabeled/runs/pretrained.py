"""A pre-trained encoder, loaded from the folder that a run wrote: what features, probes and exports start from."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from unlabeled.config.run import RunConfig, data_choice, default_name, merge, place_of, together
from unlabeled.config.settings import check, convert, signature
from unlabeled.contract import Data, Embedded
from unlabeled.data.about import settle
from unlabeled.errors import PluginError, UsageError
from unlabeled.plugins.live import make
from unlabeled.plugins.registry import registry, resolve
from unlabeled.plugins.words import Component, Domain
from unlabeled.probes.embedding import embed
from unlabeled.runs.encoder import CONFIG, WEIGHTS, encoder_folder, read_info
from unlabeled.runs.folder import CONFIG as RUN
from unlabeled.runs.folder import RunFolder
from unlabeled.runs.weights import load_weights

Source = str | Path | Mapping[str, Any] | Data | None  # what data may be given as


@dataclass(frozen=True)
class Pretrained:
    """A pre-trained encoder, ready to use.

    Args:
        encoder: an nn.Module in eval mode, on the CPU.
        spec: what it was wired with.
        views: the clean views that features are taken from.
        info: its ``config.json``.
        folder: the run folder or encoder folder that it came from.
        config: the run's configuration; None for an encoder folder alone.
    """

    encoder: Any
    spec: Any
    views: Any
    info: Mapping[str, Any]
    folder: Path
    config: RunConfig | None = None

    @property
    def domain(self) -> str:
        """The domain that it was trained in."""
        return str(self.info["domain"])

    def data(self, source: Source = None, *, every: bool = False) -> Any:
        """A data set for this encoder: by path or name, the run's own for None, or a data object as it is.

        With ``every`` a sample that is there twice keeps both rows, as what is written for a user's rows does.

        A mapping has ``path`` or ``name`` beside settings of the data and ``max_bad``, as the flags of commands.
        """
        if source is not None and not isinstance(source, (str, Path, Mapping)):
            return source
        place, own = (None, {}) if source is None else place_of(source)
        return open_data(self.domain, place, self.config, self.spec, own, every=every)

    def embed(
        self,
        data: Source = None,
        *,
        batch_size: int = 256,
        workers: int = 0,
        device: str = "auto",
        feature: Literal["pooled", "mean", "prefix"] = "pooled",
    ) -> tuple[Tensor, Tensor | None]:
        """Frozen features ``[N, D]`` and labels ``[N]`` (None without labels); unreadable samples are left out."""
        found = self.embedded(data, batch_size=batch_size, workers=workers, device=device, feature=feature)
        return found.x, found.y

    def embedded(self, data: Source = None, *, device: str = "auto", **options: Any) -> Embedded:
        """The same with ids."""
        return embed(self.encoder, self.data(data, every=True), self.views, device=pick_device(device), **options)

    def export(
        self,
        to: str = "native",
        folder: str | Path | None = None,
        data: Source = None,
    ) -> str:
        """Write weights that load without this project into ``folder``; the snippet that loads them."""
        from unlabeled.runs.export import export as write

        return write(self, to, folder, data)


def load(source: str | Path) -> Pretrained:
    """Load the encoder of a run folder or an encoder folder.

    ``UsageError`` where a file is missing or broken. Which classes are built is said by the installed plugin's
    table, never by the file.
    """
    folder = encoder_folder(source)
    info = read_info(folder)
    row = registry().domain(str(info["domain"]))
    spec = _spec(row, info["spec"], folder)
    encoder = _saved(row, "encoder", info["encoder"], spec, folder)
    load_weights(encoder, folder / WEIGHTS)
    views = _saved(row, "views", info["clean"], spec, folder)
    run = RunFolder(source)
    config = run.config if (run.path / RUN).is_file() else None
    return Pretrained(encoder.eval(), spec, views, info, run.path, config)


def _spec(row: Domain, values: Mapping[str, Any], folder: Path) -> Any:
    """The domain's spec dataclass, of the class that the installed plugin names."""
    if not row.spec:
        raise PluginError(f"domain {row.name!r} names no spec class (Domain.spec), so its encoders cannot be loaded")
    component = Component(kind="data", name="spec", target=row.spec, summary="")
    good, wrong = check("spec", values, signature(component))
    if wrong:
        raise UsageError(f"{folder / CONFIG} is broken: {'; '.join(wrong)}")
    try:
        return resolve(component)(**good)
    except ValueError as error:
        raise UsageError(f"{folder / CONFIG} is broken: spec: {error}") from error


def _saved(row: Domain, kind: str, saved: Mapping[str, Any], spec: Any, folder: Path) -> Any:
    """The part that ``config.json`` names, with the settings that it was saved with."""
    settings = saved.get("settings") or {}
    if not isinstance(settings, dict):
        raise UsageError(f"{folder / CONFIG} is broken: the settings of {kind} are no mapping")
    good, wrong = check(kind, settings, signature(registry().find(row.name, kind, saved["name"])))
    if wrong:
        raise UsageError(f"{folder / CONFIG} does not fit the installed plugin: {'; '.join(wrong)}")
    if good.get("pretrained") is True:
        good["pretrained"] = False  # a download whose weights would be overwritten at once
    return make(row.name, kind, saved["name"], good, {"spec": spec})


def open_data(
    domain: str,
    source: str | Path | None,
    config: RunConfig | None,
    spec: Any,
    settings: Mapping[str, Any] | None = None,
    *,
    every: bool = False,
) -> Any:
    """Data for an encoder that was wired with ``spec``: settings named like fields of the spec follow it.

    ``settings`` go on top of the run's own, ``max_bad`` among them; one that would differ from the spec is refused.
    With ``every``, data that would leave out duplicates (``dedup``) keep them, but where the settings say so.
    """
    given = dict(settings or {})
    own = {} if config is None else config.to_dict()["data"]
    over = {} if source is None else {"data": data_choice(domain, str(source), own)}
    part = merge({"data": own}, over, domain)["data"]
    name = part.get("name") or default_name(registry().domain(domain), "data", part.get("path"))
    sig = signature(registry().find(domain, "data", name))
    max_bad = given.pop("max_bad", 0.01 if config is None else config.training.max_bad)
    if not 0 <= max_bad <= 1:
        raise UsageError(f"--max-bad is {max_bad}; it must be a share in [0, 1]")
    part = {**part, **({"dedup": False} if every and "dedup" in sig.names else {}), **given}
    good, wrong = check("data", {k: v for k, v in part.items() if k not in ("name", "path")}, sig)
    if wrong:
        raise UsageError(together(wrong))
    for field in fields(spec):
        if field.name in sig.names:
            fixed = convert(getattr(spec, field.name), sig[field.name].type)
            if field.name in given and good.get(field.name) != fixed:
                raise UsageError(
                    f"--data.{field.name.replace('_', '-')} is {given[field.name]}, and the encoder was trained on "
                    f"{fixed}: leave it out"
                )
            good[field.name] = fixed
    data = make(domain, "data", name, good, {"path": part.get("path"), "max_bad": max_bad})
    if len(data) == 0:
        raise UsageError(f"{data.describe()}: no samples")
    settle(data, good.get("classes", "ask") if "classes" in sig.names else None)
    found, needed = getattr(data.spec, "channels", None), getattr(spec, "channels", None)
    if found != needed:
        raise UsageError(f"{data.describe()} has {found} channels, the encoder was trained on {needed}")
    return data


def pick_device(name: str) -> str:
    """``auto`` is a GPU where there is one."""
    if name != "auto":
        try:
            torch.empty(0, device=name)
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"
