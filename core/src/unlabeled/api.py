"""The Python face of the command line: pretrain, preview, load, probe, finetune, predict, embed, export.

Torch is imported on first use.

>>> run = unlabeled.pretrain("vision", recipe="simclr", data="photos/", out="runs/first", epochs=50)
>>> features, labels = run.embed("labeled/")
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlabeled.config.run import (
    PARTS,
    RunConfig,
    data_choice,
    examine,
    merge,
    place_of,
    together,
    training_signature,
)
from unlabeled.config.settings import signature
from unlabeled.errors import UsageError, near
from unlabeled.plugins.registry import registry
from unlabeled.runs.folder import CONFIG, PROBES, RunFolder, base, write_json
from unlabeled.runs.launch import Say, quiet, start

if TYPE_CHECKING:
    from unlabeled.probes.table import Table
    from unlabeled.runs.predict import Predictions
    from unlabeled.runs.pretrained import Pretrained, Source

# ---------------------------------------------------------------------------------------------- pre-training


def pretrain(
    domain: str,
    *,
    recipe: str | None = None,
    data: str | Path | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    config: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    say: Say = print,
    **settings: Any,
) -> Pretrained:
    """Train an encoder without labels, as ``unlabeled <domain> pretrain`` does.

    ``data`` is a path or a name, or a mapping of these with the settings of ``--data.*``: ``{"path": "photos/",
    "size": 64}``. ``settings`` are components by name or as a mapping (``objective="simclr"``,
    ``objective={"temperature": 0.2}``), training settings by name (``epochs=10``), and ``lr``. Raises
    ``UsageError`` for every mistake at once.
    """
    if resume and out is None:
        raise UsageError("resume=True needs out, the run to go on with")
    raw = base(domain, recipe, config, Path(str(out)) if resume else None)
    found, chosen = _composed(domain, raw, data, settings)
    target = None if out is None else Path(out)
    return load(start(found, target, resume=resume, overwrite=overwrite, chosen=chosen, say=say).out)


def preview(
    run: str | Path | Pretrained,
    *,
    recipe: str | None = None,
    data: str | Path | Mapping[str, Any] | None = None,
    out: str | Path = "preview.png",
    config: str | Path | None = None,
    **settings: Any,
) -> Path:
    """Draw what an objective will see, as ``unlabeled <domain> preview`` does; the path of the picture.

    ``run`` is a domain, or a run, which is then drawn as it was trained. ``settings`` are those of :func:`pretrain`,
    and those of the domain's preview (``n=8``).
    """
    from unlabeled.runs.preview import draw, preview_of

    folder, domain = RunFolder(run if isinstance(run, (str, Path)) else run.folder), str(run)
    if folder.is_run:
        domain, config = folder.config.domain, folder.path / CONFIG
    known = signature(preview_of(domain)).names
    own = {name: settings.pop(name) for name in known if name in settings and name != "seed"}
    found, _ = _composed(domain, base(domain, recipe, config), data, settings)
    return draw(found, Path(out), own)


def _composed(
    domain: str, raw: Mapping[str, Any], data: str | Path | Mapping[str, Any] | None, settings: Mapping[str, Any]
) -> tuple[RunConfig, frozenset[str]]:
    """``settings`` on top of ``raw``, and the kinds that they name."""
    registry().domain(domain)
    over, errors = _nested(settings)
    if data is not None:
        text, own = place_of(data)
        over["data"] = own if text is None else data_choice(domain, text, raw.get("data")) | own
    found, wrong = examine(merge(raw, over, domain), domain)
    if found is None or errors:
        raise UsageError(together([*errors, *wrong]))
    return found, frozenset(over)


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


def load(run: str | Path) -> Pretrained:
    """Load the encoder of a run folder or an encoder folder; a run that was interrupted is warned of."""
    from unlabeled.runs.pretrained import load as read

    found = read(run)
    if interrupted := RunFolder(run).interrupted():
        warnings.warn(interrupted, stacklevel=2)
    return found


# ---------------------------------------------------------------------------------------------- what one does with it


def _loaded(run: str | Path | Pretrained) -> Pretrained:
    return load(run) if isinstance(run, (str, Path)) else run


def run_of(run: str | Path | Pretrained) -> tuple[Pretrained, RunConfig]:
    """A loaded run and its configuration; ``UsageError`` where ``run`` is an encoder folder alone."""
    found = _loaded(run)
    if found.config is None:
        raise UsageError(
            f"{found.folder} is an encoder folder; its baselines need the run's {CONFIG}: give a run folder"
        )
    return found, found.config


def probe(
    run: str | Path | Pretrained,
    data: Source = None,
    *,
    probes: Sequence[str] = (),
    baselines: Sequence[str] = (),
    quick: bool = False,
    seeds: Sequence[int] = (0, 1, 2),
    folds: int = 0,
    batch_size: int = 256,
    workers: int = 0,
    device: str = "auto",
    keep: bool = False,
    say: Say = quiet,
) -> Table:
    """Frozen-feature numbers beside chance, a no-model baseline and the untrained encoder; writes ``probes.json``.

    ``probes`` and ``baselines`` choose by name (``untrained`` is one of the latter, ``none`` is no row), ``quick``
    takes one seed and the probes of features alone. Features are kept in the run folder, by their content.
    ``folds``: numbers over as many folds instead of seeds; 0 = the data's own folds, where it has them and no split.
    ``keep`` writes the linear head of all labels into the run folder, for :func:`predict`.
    """
    from unlabeled.probes.asked import Chosen
    from unlabeled.probes.evaluate import evaluate
    from unlabeled.probes.setting import Setting
    from unlabeled.runs.encoder import encoder_folder, write_card
    from unlabeled.runs.kept import check_keep
    from unlabeled.runs.kept import keep as keep_head
    from unlabeled.runs.pretrained import pick_device

    found, config = run_of(run)
    if keep:
        check_keep(found)
    options: dict[str, Any] = {"seeds": seeds, "folds": folds, "batch_size": batch_size, "workers": workers}
    options["device"] = pick_device(device)
    options["chosen"] = Chosen(tuple(probes), tuple(baselines), quick, found.folder / "features")
    opened = found.data(data)
    table = evaluate(config, found.encoder, opened, spec=found.spec, say=say, **options)
    write_json(found.folder / PROBES, table.to_dict())
    if keep:
        chosen = replace(options.pop("chosen"), probes=(), quick=False)
        say(keep_head(found, Setting(config, opened, spec=found.spec, chosen=chosen, **options)))
    write_card(encoder_folder(found.folder))
    return table


def embed(
    run: str | Path | Pretrained,
    data: Source = None,
    out: str | Path | None = None,
    *,
    features: str = "pooled",
    skip_bad: bool = False,
    **options: Any,
) -> Any:
    """Features ``[N, D]`` and labels of ``data``, or, where ``out`` is given, a :class:`Saved` of what it holds.

    Samples that cannot be read are left out of what is returned; in the file (``.npz``, ``.parquet``) they keep their
    row, with features that are NaN, unless ``skip_bad``. ``features`` is ``pooled``, ``mean`` or ``prefix``; in a file
    also ``tokens``, a row each, and ``layers``, a column each. ``.parquet`` is written as features are computed.
    """
    from unlabeled.runs.features import check_target, save

    if out is not None:
        check_target(Path(out))
        found = _loaded(run)
        return save(found, found.data(data, every=True), Path(out), features=features, skip_bad=skip_bad, **options)
    if features in ("tokens", "layers"):
        raise UsageError(f"features={features!r} are written to a file, row by row: give out")
    return _loaded(run).embed(data, feature=features, **options)  # type: ignore[arg-type]


def export(
    run: str | Path | Pretrained,
    to: str = "native",
    folder: str | Path | None = None,
    data: Source = None,
) -> str:
    """Write weights that load without this project; the snippet that loads them. ``data``: for ``onnx`` alone."""
    return _loaded(run).export(to, folder, data)


def finetune(run: str | Path | Pretrained, data: Source = None, **settings: Any) -> Any:
    """Train weights on labels or targets, from the pre-trained encoder and from scratch; writes ``finetune.json``.

    ``out`` = a new folder keeps the tuned model, as a run that :func:`predict` and all others take.
    """
    from unlabeled.runs.finetune import finetune as fit

    found, _ = run_of(run)
    return fit(found, found.data(data), **settings)


def predict(
    run: str | Path | Pretrained,
    data: Source = None,
    out: str | Path | None = None,
    **options: Any,
) -> Predictions:
    """Classes, labels or numbers by a run with a head; written to ``out`` (``.csv``, ``.jsonl``, ``.parquet``)."""
    from unlabeled.runs.features import check_target
    from unlabeled.runs.predict import SUFFIXES, write
    from unlabeled.runs.predict import predict as find

    if out is not None:
        check_target(Path(out), SUFFIXES)
    loaded = _loaded(run)
    found = find(loaded, loaded.data(data, every=True), **options)
    if out is not None:
        write(Path(out), found)
    return found
