"""The Python face of the command line: pretrain, load, probe, finetune, embed, export. Torch is imported on first use.

>>> run = unlabeled.pretrain("vision", recipe="simclr", data="photos/", out="runs/first", epochs=50)
>>> features, labels = run.embed("labeled/")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unlabeled.config.run import (
    PARTS,
    RunConfig,
    data_choice,
    default_name,
    examine,
    merge,
    together,
    training_signature,
)
from unlabeled.config.settings import check, convert, signature
from unlabeled.errors import UsageError, near
from unlabeled.plugins.registry import registry
from unlabeled.runs.folder import CONFIG, PROBES, base, read_run
from unlabeled.runs.launch import Request, Say, quiet, start

if TYPE_CHECKING:
    from torch import Tensor

    from unlabeled.contract import Data
    from unlabeled.probes.table import Table

# ---------------------------------------------------------------------------------------------- pre-training


def pretrain(
    domain: str,
    *,
    recipe: str | None = None,
    data: str | Path | None = None,
    out: str | Path | None = None,
    config: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    say: Say = print,
    **settings: Any,
) -> Pretrained:
    """Train an encoder without labels, as ``unlabeled <domain> pretrain`` does.

    ``settings`` are components by name or as a mapping (``objective="simclr"``, ``objective={"temperature": 0.2}``),
    training settings by name (``epochs=10``), and ``lr``. Raises ``UsageError`` for every mistake at once.
    """
    if resume and out is None:
        raise UsageError("resume=True needs out, the run to go on with")
    registry().domain(domain)
    raw = base(domain, recipe, config, Path(str(out)) if resume else None)
    over, errors = _nested(settings)
    if data is not None:
        part = over.get("data", {})
        over["data"] = data_choice(domain, str(data), raw.get("data")) | (part if isinstance(part, dict) else {})
    found, wrong = examine(merge(raw, over, domain), domain)
    if found is None or errors:
        raise UsageError(together([*errors, *wrong]))
    request = Request(found, None if out is None else Path(out), resume, overwrite, frozenset(over))
    return load(start(request, say).out)


def _nested(settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Keyword arguments as the mapping of a config."""
    over: dict[str, Any] = {}
    errors = []
    known = training_signature().names
    for name, value in settings.items():
        if name in PARTS:
            over[name] = merge(over, {name: value})[name]
        elif name == "lr":
            over = merge(over, {"optimizer": {"lr": value}})
        elif name in known:
            over = merge(over, {"training": {name: value}})
        else:
            errors.append(f"unknown setting {name!r}.{near(name, (*PARTS, *known, 'lr'))}")
    return over, errors


# ---------------------------------------------------------------------------------------------- what came out


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
        return str(self.info["domain"])

    def data(self, source: str | Path | Data | None = None) -> Any:
        """A data set for this encoder: by path or name, the run's own for None, or a data object as it is."""
        if source is not None and not isinstance(source, (str, Path)):
            return source
        return open_data(self.domain, source, self.config, self.spec)

    def embed(
        self,
        data: str | Path | Data | None = None,
        *,
        batch_size: int = 256,
        workers: int = 0,
        device: str = "auto",
        feature: Literal["pooled", "mean", "prefix"] = "pooled",
    ) -> tuple[Tensor, Tensor | None]:
        """Frozen features ``[N, D]`` and labels ``[N]`` (None without labels); unreadable samples are left out."""
        found = self.embedded(data, batch_size=batch_size, workers=workers, device=device, feature=feature)
        return found.x, found.y

    def embedded(self, data: str | Path | Data | None = None, *, device: str = "auto", **options: Any) -> Any:
        """The same with ids, as :class:`unlabeled.contract.Embedded`."""
        from unlabeled.probes.embedding import embed as features_of

        return features_of(self.encoder, self.data(data), self.views, device=pick_device(device), **options)

    def export(self, to: str = "native", folder: str | Path | None = None) -> str:
        """Write weights that load without this project into ``folder``; the snippet that loads them."""
        from unlabeled.runs.export import export as write

        return write(self, to, folder)


def load(run: str | Path) -> Pretrained:
    """Load the encoder of a run folder or an encoder folder."""
    from unlabeled.runs.encoder import load_encoder

    saved = load_encoder(run)
    config = read_run(run) if (Path(run) / CONFIG).is_file() else None
    return Pretrained(saved.encoder, saved.spec, saved.views, saved.info, Path(run), config)


def open_data(domain: str, source: str | Path | None, config: RunConfig | None, spec: Any) -> Any:
    """Data for an encoder that was wired with ``spec``: settings named like fields of the spec follow it."""
    from unlabeled.build import construct

    own = {} if config is None else config.to_dict()["data"]
    part = merge({"data": own}, {"data": data_choice(domain, str(source), own)})["data"] if source is not None else own
    name = part.get("name") or default_name(registry().domain(domain), "data", part.get("path"))
    component = registry().find(domain, "data", name)
    sig = signature(component)
    good, wrong = check("data", {k: v for k, v in part.items() if k not in ("name", "path")}, sig)
    if wrong:
        raise UsageError(together(wrong))
    for field in fields(spec):
        if field.name in sig.names:
            good[field.name] = convert(getattr(spec, field.name), sig[field.name].type)
    max_bad = 0.01 if config is None else config.training.max_bad
    data = construct(component, good, {"path": part.get("path"), "max_bad": max_bad}, name=name)
    if len(data) == 0:
        raise UsageError(f"{data.describe()}: no samples")
    found, needed = getattr(data.spec, "channels", None), getattr(spec, "channels", None)
    if found != needed:
        raise UsageError(f"{data.describe()} has {found} channels, the encoder was trained on {needed}")
    return data


def pick_device(name: str) -> str:
    """``auto`` is a GPU where there is one."""
    import torch

    if name != "auto":
        try:
            torch.empty(0, device=name)
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


# ---------------------------------------------------------------------------------------------- what one does with it


def run_of(run: str | Path | Pretrained) -> tuple[Pretrained, RunConfig]:
    """A loaded run and its configuration; ``UsageError`` where ``run`` is an encoder folder alone."""
    found = run if isinstance(run, Pretrained) else load(run)
    if found.config is None:
        raise UsageError(
            f"{found.folder} is an encoder folder; its baselines need the run's {CONFIG}: give a run folder"
        )
    return found, found.config


def probe(
    run: str | Path | Pretrained,
    data: str | Path | Data | None = None,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    batch_size: int = 256,
    workers: int = 0,
    device: str = "auto",
    say: Say = quiet,
) -> Table:
    """Frozen-feature numbers beside chance, a no-model baseline and the untrained encoder; writes ``probes.json``."""
    from unlabeled.probes.evaluate import evaluate
    from unlabeled.runs.encoder import encoder_folder, write_card, write_json

    found, config = run_of(run)
    options = {"seeds": seeds, "batch_size": batch_size, "workers": workers, "device": pick_device(device)}
    table = evaluate(config, found.encoder, found.data(data), spec=found.spec, say=say, **options)  # type: ignore[arg-type]
    write_json(found.folder / PROBES, table.to_dict())
    write_card(encoder_folder(found.folder))
    return table


def embed(
    run: str | Path | Pretrained,
    data: str | Path | Data | None = None,
    out: str | Path | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Features ``[N, D]`` and labels of ``data``; written to ``out`` (``.npz``, ``.parquet``) where that is given."""
    from unlabeled.runs.features import check_target, write

    if out is not None:
        check_target(Path(out))
    found = run if isinstance(run, Pretrained) else load(run)
    opened = found.data(data)
    features = found.embedded(opened, **options)
    if out is not None:
        write(Path(out), features, opened.classes)
    return features.x, features.y


def export(run: str | Path | Pretrained, to: str = "native", folder: str | Path | None = None) -> str:
    """Write weights that load without this project; the snippet that loads them."""
    return (run if isinstance(run, Pretrained) else load(run)).export(to, folder)


def finetune(run: str | Path | Pretrained, data: str | Path | Data | None = None, **settings: Any) -> Any:
    """Train all weights on labels, from the pre-trained encoder and from scratch; writes ``finetune.json``."""
    from unlabeled.runs.finetune import finetune as fit

    found, _ = run_of(run)
    return fit(found, found.data(data), **settings)
