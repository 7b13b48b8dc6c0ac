"""``unlabeled <domain> export RUN --to FORMAT``: weights for those who do not have this project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unlabeled.cli.flags import Flag
from unlabeled.plugins.registry import registry

if TYPE_CHECKING:
    from unlabeled.contract import Data
    from unlabeled.runs.pretrained import Pretrained


def flags(domain: str) -> list[Flag]:
    """``--to``, with the formats of the domain."""
    names = sorted({row.name for row in registry().components(domain, "export")} | {"onnx"})
    return [Flag("to", str, ", ".join(names), "native")]


def export_command(run: Pretrained, data: Data | None = None, *, to: str = "native", out: Path | None = None) -> str:
    """Weights that load without this project, and the lines that load them.

    Args:
        data: for --to onnx, where a sample is read to trace: a path or a data set's name
        out: folder to write; RUN/export-<format> if not given.
    """
    from unlabeled import api

    lines = api.export(run, to, out, data)
    return f"saved {out or run.folder / f'export-{to}'}; load it with\n\n{lines}"
