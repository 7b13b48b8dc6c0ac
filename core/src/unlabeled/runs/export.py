"""Weights that load without this project: ``native`` for the domain's own library, ``onnx`` for any runtime.

A domain's component of kind ``export`` is ``f(encoder, spec, folder) -> snippet``: it writes files into ``folder`` and
returns the code that loads them. It may also ask for ``views``, the clean ones, and ``settings``, those of the run's
data. What a sample goes through before the encoder travels as code too (:func:`carry`): the lines of its ``README.md``
end with ``embed(samples)``, and need nothing of this project. ``onnx`` is done here for all domains, where a domain has
no export of that name.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.errors import PluginError, UsageError, near
from unlabeled.plugins.live import make
from unlabeled.plugins.registry import registry
from unlabeled.probes.embedding import batches

if TYPE_CHECKING:
    from unlabeled.runs.pretrained import Pretrained

ONNX = "onnx"


def export(run: Pretrained, to: str = "native", folder: str | Path | None = None, data: Any = None) -> str:
    """Write the encoder in format ``to`` into ``folder``, by default ``<run>/export-<to>``; the loading snippet."""
    rows = registry().components(run.domain, "export")
    known = sorted({row.name for row in rows} | {ONNX})
    if to not in known:
        raise UsageError(f"unknown format {to!r} in domain {run.domain!r}.{near(to, known)}")
    target = run.folder / f"export-{to}" if folder is None else Path(folder)
    if target.exists() and not target.is_dir():
        raise UsageError(f"--out {target} is a file; it must be a folder, or new")
    if any(row.name == to for row in rows):
        if data is not None:
            raise UsageError(f"export --to {to} writes weights and reads no data: leave out --data and --max-bad")
        target.mkdir(parents=True, exist_ok=True)
        settings = {} if run.config is None else dict(run.config.parts["data"].settings)
        wired = {"encoder": run.encoder, "spec": run.spec, "folder": target, "views": run.views, "settings": settings}
        return str(make(run.domain, "export", to, {}, wired))
    return write_onnx(run, target, data)


def carry(code: str, folder: Path, settings: Mapping[str, Any]) -> None:
    """Put the module in file ``code``, which imports nothing of this project, into ``folder``, with its settings.

    They lie beside it under the same name, as JSON, which is where the module reads them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / Path(code).name
    shutil.copyfile(code, target)
    target.with_suffix(".json").write_text(json.dumps(dict(settings), indent=2) + "\n", encoding="utf-8")


def readme(path: Path, title: str, about: str, lines: str, folder: str = ".") -> None:
    """Write the page of an export: ``lines`` as they run from ``folder``, beside which the page may be moved."""
    shown = re.sub(r"^folder = .*$", lambda found: f"folder = {folder!r}  # of these files", lines, count=1, flags=re.M)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# {title}\n\n{about}\n\n```python\n{shown}\n```\n", encoding="utf-8")


class _Bare(nn.Module):
    """The encoder as a function of the batch's tensors, as ONNX needs it."""

    def __init__(self, encoder: Any, view: View, names: tuple[str, ...]) -> None:
        super().__init__()
        self.encoder, self.view, self.names = encoder, view, names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        batch = replace(self.view.batch, **dict(zip(self.names, tensors, strict=True)))  # type: ignore[type-var]
        out = self.encoder(replace(self.view, batch=batch))
        return out.pooled, out.tokens


def write_onnx(run: Pretrained, folder: Path, source: Any = None) -> str:
    """``model.onnx``: tensors of clean views of B samples -> pooled ``[B, D]`` and tokens ``[B * T, D]``, for any B.

    Encoders whose samples differ in length cannot be written: lengths live on the host, so a graph has them as
    constants. What is written was compared with the encoder at other B than it was traced with; where they differ, the
    graph is for one sample, and the lines say why.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise PluginError(f"export to onnx needs {' and '.join(missing)}: pip install 'unlabeled[onnx]'")
    data = run.data(source)
    ids = next(batches(data, torch.arange(len(data)), batch_size=3, workers=0)).ids.tolist()
    several, one, pair = (_clean(run, data.__getitems__(some)) for some in (ids, ids[:1], ids[:1] * 2))
    if not is_dataclass(pair.batch):
        raise UsageError(f"domain {run.domain!r} has batches of {type(pair.batch).__name__}, which ONNX cannot take")
    names = tuple(
        f.name for f in fields(pair.batch) if f.name != "ids" and isinstance(getattr(pair.batch, f.name), Tensor)
    )
    packed = [name for name in names if len(getattr(pair.batch, name)) != 2]
    if packed:
        raise UsageError(
            f"export to onnx: samples of domain {run.domain!r} differ in length and are read end to end "
            f"({', '.join(packed)}), and a graph would hold the lengths of those that it was traced with; "
            "--to native writes weights that read any"
        )
    path = folder / "model.onnx"
    why = _write_any(_Bare(run.encoder, pair, names).eval(), pair, (several, one), path)
    if why:  # its rows' places, say, are those of the batch that it was traced with
        program, _ = _traced(_Bare(run.encoder, one, names).eval(), _tensors(one, names), names, None)
        folder.mkdir(parents=True, exist_ok=True)
        program.save(path)
    feeds = ", ".join(f'"{name}": {name}' for name in names)
    first = "1" if why else "B"
    kinds = [
        f"{str(t.dtype).removeprefix('torch.')} [{', '.join((first, *map(str, t.shape[1:])))}]"
        for t in _tensors(pair, names)
    ]
    shapes = ", ".join(f"{name} {kind}" for name, kind in zip(names, kinds, strict=True))
    about = f"# one sample at a time: {why}\n" if why else ""
    return (
        f"import onnxruntime\n\n{about}session = onnxruntime.InferenceSession({str(path)!r})  # {shapes}\n"
        f"pooled, tokens = session.run(None, {{{feeds}}})"
    )


def _write_any(model: _Bare, pair: View, others: tuple[View, ...], path: Path) -> str:
    """Write the graph for any number of samples, or say why there is none."""
    who = type(model.encoder).__name__
    try:
        program, exported = _traced(model, _tensors(pair, model.names), model.names, torch.export.Dim("batch", min=1))
        for view in others:
            if not _alike(exported, model, view):
                return f"for {len(view.batch)} samples the graph of {who} gives other numbers than {who}"
    except (PluginError, RuntimeError):
        return f"{who} lays its rows out by the number of samples, which a graph cannot follow"
    path.parent.mkdir(parents=True, exist_ok=True)
    program.save(path)
    return ""


def _clean(run: Pretrained, batch: Any) -> View:
    view = run.views(batch, Draw(0, 0, batch.ids))[0].clean()
    return replace(view, layout=view.layout or run.encoder.layout(view.batch))  # known before any forward, so constant


def _tensors(view: View, names: tuple[str, ...]) -> tuple[Tensor, ...]:
    return tuple(getattr(view.batch, name) for name in names)


def _traced(model: _Bare, tensors: tuple[Tensor, ...], names: tuple[str, ...], samples: Any) -> tuple[Any, Any]:
    """torch's ONNX program of the model and what it was made of; ``samples`` is the first dimension, None = as it is.

    :class:`PluginError` where its exporter cannot follow the encoder.
    """
    shapes = None if samples is None else (tuple({0: samples} for _ in names),)
    try:
        quiet = io.StringIO()  # it prints its progress, and a trace where it fails
        with torch.no_grad(), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            exported = torch.export.export(model, tensors, dynamic_shapes=shapes)
            outputs = ["pooled", "tokens"]
            program = torch.onnx.export(exported, (), input_names=list(names), output_names=outputs, verbose=False)
            return program, exported.module()
    except Exception as error:
        name, cause = type(model.encoder).__name__, error.__cause__ or error
        raise PluginError(
            f"torch's ONNX exporter cannot follow {name} ({type(cause).__name__}): "
            "its steps depend on what a sample holds; --to native writes the weights"
        ) from error


def _alike(exported: Any, model: _Bare, view: View) -> bool:
    """Whether the graph gives what the encoder gives."""
    with torch.no_grad():
        found, out = exported(*_tensors(view, model.names)), model.encoder(view)
    return all(
        x.shape == y.shape and torch.allclose(x, y, rtol=1e-4, atol=1e-4 * float(y.abs().max()))
        for x, y in zip(found, (out.pooled, out.tokens), strict=True)
    )
