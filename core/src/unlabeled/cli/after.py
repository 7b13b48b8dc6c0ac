"""What one does with a run: probe, finetune, embed, export, report; and preview, before one."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from unlabeled.cli.compose import compose
from unlabeled.cli.flags import Flag, Parsed, read, render
from unlabeled.config.run import together
from unlabeled.config.settings import read_signature, signature
from unlabeled.errors import UsageError
from unlabeled.plugins.registry import registry
from unlabeled.runs.folder import RunFolder

DATA = Flag("data", str, "a path or a data set's name; the run's own data if not given", metavar="PATH|NAME")
JSON = Flag("json", bool, "print JSON instead of the table", False)
BATCH = Flag("batch-size", int, "samples per forward pass", 256)
WORKERS = Flag("workers", int, "processes that read data", 0)
DEVICE = Flag("device", str, "auto, cpu, cuda, cuda:1, ...", "auto")
HELP = ("-h", "--help")


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _typed(usage: str, summary: str, words: Sequence[str], flags: Sequence[Flag], *, runs: int = 1) -> Parsed | None:
    """What was typed, or None after ``--help``; ``runs`` is how many folders a command takes, 0 = any."""
    if any(word in HELP for word in words):
        print(render(usage, summary, flags))
        return None
    typed = read(words, flags)
    if not typed.words:
        typed.errors.append(f"a run folder is missing: {usage}")
    elif runs and len(typed.words) > runs:
        typed.errors.append(f"unexpected {' '.join(map(repr, typed.words[runs:]))}: {usage}")
    if typed.errors:
        raise UsageError(together(typed.errors))
    return typed


def _load(domain: str, run: str) -> Any:
    """A run of this domain."""
    from unlabeled.api import load

    found = load(run)
    if found.domain != domain:
        raise UsageError(f"{run} is a run of domain {found.domain!r}: unlabeled {found.domain} ... {run}")
    return found


def _options(typed: Parsed, *names: str) -> dict[str, Any]:
    """The flags that were given, as keyword arguments."""
    return {name.replace("-", "_"): typed[name] for name in names if typed[name] is not None}


def probe_command(domain: str, words: Sequence[str]) -> int:
    """``unlabeled <domain> probe RUN --data PATH``"""
    seeds = Flag("seeds", tuple[int, ...], "of splits, label subsets and untrained weights", (0, 1, 2))
    flags = (DATA, JSON, seeds, BATCH, WORKERS, DEVICE)
    summary = "Frozen features of a run beside chance, a no-model baseline and the untrained encoder; probes.json."
    typed = _typed(f"unlabeled {domain} probe RUN [--data PATH] [flags]", summary, words, flags)
    if typed is None:
        return 0
    from unlabeled.api import probe

    options = _options(typed, "seeds", "batch-size", "workers", "device")
    table = probe(_load(domain, typed.words[0]), typed["data"], say=_progress, **options)
    if typed["json"]:
        print(json.dumps(table.to_dict(), indent=2))
    else:
        from rich.console import Console

        table.print(Console())
    return 0


def finetune_command(domain: str, words: Sequence[str]) -> int:
    """``unlabeled <domain> finetune RUN --data PATH``"""
    sig = read_signature("unlabeled.runs.finetune", "Finetune")
    own = [Flag(s.name.replace("_", "-"), s.type, s.help, s.default) for s in sig.settings]
    summary = "All weights trained on the labels of the data, from the run's encoder and from scratch; finetune.json."
    typed = _typed(f"unlabeled {domain} finetune RUN [--data PATH] [flags]", summary, words, [DATA, JSON, *own])
    if typed is None:
        return 0
    from unlabeled.api import finetune

    options = _options(typed, *(flag.name for flag in own))
    found = finetune(_load(domain, typed.words[0]), typed["data"], say=_progress, **options)
    print(json.dumps(found.to_dict(), indent=2) if typed["json"] else found.text())
    return 0


def embed_command(domain: str, words: Sequence[str]) -> int:
    """``unlabeled <domain> embed RUN --data PATH --out FILE``"""
    out = Flag("out", str, "the file to write, .npz or .parquet", metavar="FILE")
    feature = Flag(
        "feature", Literal["pooled", "mean", "prefix"], "mean is of tokens, prefix the class token", "pooled"
    )
    flags = (DATA, out, feature, BATCH, WORKERS, DEVICE)
    usage = f"unlabeled {domain} embed RUN [--data PATH] --out FILE [flags]"
    typed = _typed(usage, "Frozen features, one row a sample, with labels and ids.", words, flags)
    if typed is None:
        return 0
    if typed["out"] is None:
        raise UsageError(f"--out is missing: {usage}")
    from unlabeled.api import embed
    from unlabeled.runs.features import check_target

    check_target(Path(typed["out"]))
    options = _options(typed, "feature", "batch-size", "workers", "device")
    features, _ = embed(_load(domain, typed.words[0]), typed["data"], typed["out"], **options)
    print(f"saved {typed['out']}: {features.shape[0]:,} samples x {features.shape[1]} features")
    return 0


def export_command(domain: str, words: Sequence[str]) -> int:
    """``unlabeled <domain> export RUN --to native|onnx``"""
    names = sorted({row.name for row in registry().components(domain, "export")} | {"onnx"})
    to = Flag("to", str, ", ".join(names), "native")
    out = Flag("out", str, "folder to write; RUN/export-<format> if not given", metavar="FOLDER")
    usage = f"unlabeled {domain} export RUN [--to {'|'.join(names)}] [flags]"
    typed = _typed(usage, "Weights that load without this project, and the lines that load them.", words, (to, out))
    if typed is None:
        return 0
    run = _load(domain, typed.words[0])
    form = typed["to"] or "native"
    lines = run.export(form, typed["out"])
    print(f"saved {typed['out'] or run.folder / f'export-{form}'}; load it with\n\n{lines}")
    return 0


def report_command(words: Sequence[str]) -> int:
    """``unlabeled report RUN [RUN ...]``"""
    out = Flag("out", str, "the page to write; RUN/report.html, or report.html for several", metavar="FILE")
    usage = "unlabeled report RUN [RUN ...] [--out FILE]"
    typed = _typed(usage, "One self-contained HTML page over one run or several.", words, (out,), runs=0)
    if typed is None:
        return 0
    runs = [Path(word) for word in typed.words]
    for run in runs:
        assert RunFolder(run).raw
    target = Path(typed["out"] or (runs[0] / "report.html" if len(runs) == 1 else "report.html"))
    from unlabeled.report import write

    write(runs, target)
    print(f"saved {target}")
    return 0


def preview_command(domain: str, words: Sequence[str]) -> int:
    """``unlabeled <domain> preview [RECIPE] --data PATH --out FILE.png``"""
    name = registry().domain(domain).defaults.get("preview")
    if name is None:
        raise UsageError(f"domain {domain!r} has no preview")
    component = registry().find(domain, "preview", name)
    settings = [Flag(s.name, s.type, s.help, s.default, group="run") for s in signature(component).settings]
    own = (
        Flag("out", str, "the picture to write", "preview.png", group="run", metavar="FILE"),
        Flag("config", str, "a run's config.yaml", group="run", metavar="FILE"),
        # the run's own seed is a training flag already
        *(flag for flag in settings if flag.name != "seed"),
    )
    asked = compose(domain, [word for word in words if word not in HELP], own)
    usage = f"unlabeled {domain} preview [RECIPE] [--data PATH] [--out FILE] [flags]"
    if any(word in HELP for word in words):
        print(render(usage, "A picture of what the objective will see.", [asked.flags[0], *own, *asked.flags[1:]]))
        return 0
    config = asked.checked()
    from unlabeled.build import build, make

    parts = build(config)
    given = {flag.name: asked.typed[flag.name] for flag in settings if asked.typed[flag.name] is not None}
    wired = {
        "data": parts.data,
        "views": parts.views,
        "out_png": Path(asked.typed["out"] or "preview.png"),
        "parts": parts,
    }
    print(f"saved {make(domain, 'preview', name, given, wired)}")
    return 0
