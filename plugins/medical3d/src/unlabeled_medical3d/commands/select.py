"""``unlabeled medical3d select``: leave out near-duplicate slices."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unlabeled.errors import UsageError
from unlabeled_medical3d.select import NearDuplicates, Selected

# ---------------------------------------------------------------------------------------------- the command


def select_command(domain: str, words: list[str]) -> int:
    """``unlabeled medical3d select --data PATH --out FILE.csv``"""
    from unlabeled.cli.flags import Flag, read, render
    from unlabeled.config.run import together
    from unlabeled.config.settings import read_signature

    settings = read_signature("unlabeled_medical3d.select", "NearDuplicates").settings
    own = [Flag(s.name.replace("_", "-"), s.type, s.help, s.default) for s in settings]
    flags = [
        Flag("data", str, "a path or a data set's name", metavar="PATH|NAME"),
        Flag("out", str, "table of the kept slices", "kept.csv", metavar="FILE.csv"),
        Flag("run", str, "a run whose encoder describes slices, for --by embedding", metavar="RUN"),
        *own,
    ]
    usage = f"unlabeled {domain} select --data PATH --out FILE.csv [flags]"
    if any(word in ("-h", "--help") for word in words):
        print(render(usage, "Leave out near-duplicate slices; a table of what is kept.", flags))
        return 0
    typed = read(words, flags)
    if typed.words:
        typed.errors.append(f"unexpected {' '.join(map(repr, typed.words))}: {usage}")
    if typed["data"] is None:
        typed.errors.append(f"--data is missing: {usage}")
    if typed.errors:
        raise UsageError(together(typed.errors))
    given = {flag.name: typed[flag.name] for flag in own if typed[flag.name] is not None}
    try:
        select = NearDuplicates(**given)
    except ValueError as error:
        raise UsageError(f"select: {error}") from error
    out = Path(typed["out"] or "kept.csv")
    if out.suffix.lower() != ".csv":
        raise UsageError(f"--out {out}: the table is a .csv")
    data, run = _open(domain, typed["data"], typed["run"])
    print(_write(out, select(data, run), select.axis, data.patients), file=sys.stdout)
    return 0


def _open(domain: str, source: str, folder: str | None) -> tuple[Any, Any]:
    from unlabeled.api import load
    from unlabeled.build import build_data
    from unlabeled.config.run import data_choice, resolve

    if folder is not None:
        run = load(folder)
        return run.data(source), run
    return build_data(resolve({"data": data_choice(domain, source)}, domain)), None


def _write(out: Path, found: Iterator[Selected], axis: str, patients: Sequence[str]) -> str:
    total = kept = volumes = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("sample", "patient", "axis", "slice"))
        for each in found:
            table.writerows((each.sample, patients[each.sample], axis, number) for number in each.kept)
            total, kept, volumes = total + each.total, kept + len(each.kept), volumes + 1
    share = kept / total if total else 0.0
    return f"saved {out}: {kept:,} of {total:,} slices of {volumes:,} volumes kept ({share:.1%})"
