"""One self-contained HTML page over one run or several: probe tables with baselines, curves, configs, versions.

Nothing is loaded from elsewhere: plotly's script (about 5 MB) stands in the page once. All text is escaped.
"""

import importlib.metadata
from collections.abc import Collection, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from unlabeled.errors import PluginError
from unlabeled.probes.table import PRETRAINED, Block, Number, Table
from unlabeled.report.reading import Run, read_runs

# what is drawn where it was logged: title, key or group/, unit
CURVES = (
    ("Loss", "loss", ""),
    ("Effective rank", "rank", ""),
    ("Effective rank at the projector", "projector_rank", ""),
    ("Deviation of the features", "deviation", "1 = even, 0 = collapse"),
    ("Deviation at the projector", "projector_deviation", "1 = even, 0 = collapse"),
    ("Online kNN accuracy", "knn", ""),
    ("Learning rate", "lr", ""),
    ("Samples per second", "samples_per_second", "1/s"),
    ("Share of time spent waiting for data", "data_wait", ""),
)
OWN = {key for _, key, _ in CURVES} | {"step", "epoch", "seconds"}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1c1e21; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 1px solid #d8dadd; }
h3 { font-size: 1rem; margin-bottom: .3rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 1rem; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #e6e8ea; }
th:first-child, td:first-child { text-align: left; } tr.trained { background: #eef4fb; } tr.best { font-weight: 600; }
pre { background: #f5f6f7; padding: .8rem; overflow-x: auto; font-size: 13px; }
.legend, .missing { color: #5b6068; font-size: 13px; margin: 0; }
"""


def write(runs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the report of run folders to ``out``, by default ``report.html`` in the first; returns its path.

    Raises ``UsageError`` for a folder that is no run, and ``PluginError`` where plotly is missing.
    """
    found = read_runs(runs)
    target = Path(out) if out is not None else found[0].folder / "report.html"
    page = html(found)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")
    return target


def html(runs: Sequence[Run]) -> str:
    """The whole page."""
    script = _plotly_script()
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    body = [f"<h1>{escape(title)}</h1>", overview(runs)]
    if len(runs) > 1:
        body.append(comparison(runs))
    body += ["<h2>Frozen-feature probes</h2>", *(probes(run) for run in runs)]
    body += ["<h2>Training</h2>", curves(runs)]
    body += ["<h2>Configuration</h2>", *(configuration(run) for run in runs)]
    body.append(versions(runs))
    head = f'<meta charset="utf-8"><title>{escape(title)} - unlabeled</title><style>{STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}<script>{script}</script></head>\n<body>\n' + (
        "\n".join(body) + "\n</body></html>\n"
    )


def grid(heads: Sequence[str], rows: Sequence[Sequence[str]], best: Collection[str] = ()) -> str:
    """A table of escaped cells; rows of the pre-trained encoder are shaded, the ``best`` (by first cell) bold."""
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    lines = []
    for row in rows:
        marks = ["trained"] * row[0].startswith(PRETRAINED) + ["best"] * (row[0] in best)
        mark = f' class="{" ".join(marks)}"' if marks else ""
        lines.append(f"<tr{mark}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>")
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def overview(runs: Sequence[Run]) -> str:
    """What each run was, in one row."""
    rows = []
    for run in runs:
        last = run.log[-1] if run.log else {}
        named = [_name(run.config.get(kind)) for kind in ("data", "views", "mask", "encoder", "objective")]
        loss = run.series("loss")[1]
        steps, end = str(last.get("step", "-")), f"{loss[-1]:.4g}" if loss else "-"
        head = (run.name, str(run.config.get("domain", "-")), str(run.config.get("recipe", "-")))
        rows.append((*head, *named, steps, end))
    heads = ("run", "domain", "recipe", "data", "views", "mask", "encoder", "objective", "steps", "last loss")
    lines = [f'<p class="interrupted">{escape(run.interrupted)}</p>' for run in runs if run.interrupted]
    return grid(heads, rows) + "".join(lines)


def _name(part: Any) -> str:
    return str(part.get("name", "-")) if isinstance(part, dict) else "-" if part is None else str(part)


def comparison(runs: Sequence[Run]) -> str:
    """The pre-trained encoders of all runs beside each other."""
    tables = [(run, run.table) for run in runs if run.table is not None]
    if not tables:
        return ""
    keys = list(dict.fromkeys(column.key for _, table in tables for column in table.columns))
    rows = [(run.name, *(_of(table, key) for key in keys)) for run, table in tables]
    flipped = [(key, *(row[number] for row in rows)) for number, key in enumerate(keys, 1)]
    same = len({str(table.data.get("description")) for _, table in tables}) == 1
    note = "" if same else '<p class="missing">The runs were probed on different data: compare within a run.</p>'
    return (
        "<h2>Pre-trained encoders compared</h2>" + note + grid(("accuracies in %", *(row[0] for row in rows)), flipped)
    )


def _of(table: Table, key: str) -> str:
    number: Number | None = next((row.numbers.get(key) for row in table.rows if row.kind == PRETRAINED), None)
    return "-" if number is None else number.show(percent=".accuracy" in key or ".macro_f1" in key)


def probes(run: Run) -> str:
    """The table of a run with its baselines, or that there is none."""
    head = f"<h3>{escape(run.name)}</h3>"
    if run.table is None:
        return head + '<p class="missing">No probes.json: this run has not been probed yet.</p>'
    blocks: list[Block] = run.table.blocks()
    tables = "".join(grid((block.title, *block.heads), block.rows, block.best) for block in blocks)
    legend = "".join(f'<p class="legend">{escape(line)}</p>' for line in run.table.legend())
    more = "".join(classes(probe, found) for probe, found in run.table.details.items())
    return head + tables + more + legend


def classes(probe: str, found: Mapping[str, Any]) -> str:
    """Scores of each class, and who is taken for whom, of the pre-trained encoder."""
    names = [str(row["class"]) for row in found["per_class"]]
    keys = ("precision", "recall", "f1")
    rows = [
        (str(row["class"]), *(f"{100 * row[key]:.1f}" for key in keys), str(row["count"])) for row in found["per_class"]
    ]
    body = grid(("class", "precision %", "recall %", "F1 %", "test samples"), rows)
    if "confusion" in found:
        counts = [(name, *map(str, row)) for name, row in zip(names, found["confusion"], strict=True)]
        body += grid(("true class, guessed as", *names), counts)
    return f"<details><summary>{escape(probe)}: each class, pre-trained encoder</summary>{body}</details>"


def curves(runs: Sequence[Run]) -> str:
    """One figure for each quantity, one line for each run."""
    if not any(run.log for run in runs):
        return '<p class="missing">No metrics.jsonl: nothing was logged.</p>'
    parts = dict.fromkeys(key for run in runs for key in run.names("parts"))
    others = dict.fromkeys(key for run in runs for key in run.names() if key not in OWN)
    wanted = [CURVES[0], *((f"Loss term: {key.removeprefix('parts/')}", key, "") for key in parts)]
    wanted += [*CURVES[1:], *((key, key, "") for key in others)]
    figures = [figure(title, key, unit, runs, f"figure-{number}") for number, (title, key, unit) in enumerate(wanted)]
    return "\n".join(figures)


def figure(title: str, key: str, unit: str, runs: Sequence[Run], name: str) -> str:
    """A plotly figure of ``key`` over steps, or nothing where no run logged it."""
    import plotly.graph_objects as go
    from plotly.io import to_html

    drawn = go.Figure()
    for run in runs:
        steps, values = run.series(key)
        if values:
            # plotly reads names as HTML
            drawn.add_trace(go.Scatter(x=steps, y=values, mode="lines", name=escape(run.name)))
    if not drawn.data:
        return ""
    drawn.update_layout(
        title=escape(title),
        xaxis_title="step",
        yaxis_title=escape(unit),
        height=320,
        margin={"l": 60, "r": 20, "t": 50, "b": 40},
        template="plotly_white",
        showlegend=len(runs) > 1,
    )
    return str(to_html(drawn, include_plotlyjs=False, full_html=False, div_id=name, config={"displaylogo": False}))


def configuration(run: Run) -> str:
    return f"<details><summary>{escape(run.name)}: config.yaml</summary><pre>{escape(run.config_text)}</pre></details>"


def versions(runs: Sequence[Run]) -> str:
    """Versions that the probe numbers were made with, and that of this report."""
    rows = [
        (run.name, ", ".join(f"{name} {version}" for name, version in run.table.versions.items()))
        for run in runs
        if run.table is not None
    ]
    rows.append(("this report", f"unlabeled {importlib.metadata.version('unlabeled')}"))
    return "<h2>Versions</h2>" + grid(("numbers of", "made with"), rows)


def _plotly_script() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise PluginError("the report needs the package 'plotly': pip install 'unlabeled[report]'") from error
    return str(get_plotlyjs())
