"""Weights to start from, of files that others wrote too: which entries are the encoder's, by name and shape.

A folder is a run, an encoder or an export with one ``.safetensors`` file; ``.pth``, ``.pt``, ``.ckpt`` and ``.bin`` are
read by ``weights_only``, so nothing is run. Names may stand under a prefix (``module.encoder.blocks.0...``), on either
side: the pair of prefixes under which most names and shapes agree is taken.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from unlabeled.errors import UsageError

PICKLED = (".pth", ".pt", ".ckpt", ".bin")


def single_file(folder: Path) -> Path | None:
    """The one ``.safetensors`` of an export folder; None where there is none or more than one."""
    found = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    return found[0] if len(found) == 1 else None


def read_pickled(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name; where mappings are nested, those of the one that holds most."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{path} cannot be read as weights alone (nothing is unpickled): {reason}") from error
    best = max(_states(found), key=len, default={})
    if not best:
        raise UsageError(f"{path} holds no weights by name")
    return best


def _states(found: Any) -> Iterator[dict[str, Tensor]]:
    if not isinstance(found, Mapping):
        return
    yield {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    for value in found.values():
        yield from _states(value)


def renamed(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``found`` under the names of ``own``: the prefix taken off and the one put on under which most entries fit.

    Where entries fit as they are, or none fits, names stay; entries without the prefix are left out.
    """
    pairs = [("", "")]
    pairs += [(off, on) for off in ("", *_prefixes(found)) for on in ("", *_prefixes(own)) if off or on]
    best = max(pairs, key=lambda pair: _fits(found, own, *pair))
    if best == ("", ""):
        return dict(found)
    off, on = best
    return {on + name.removeprefix(off): value for name, value in found.items() if name.startswith(off)}


def _prefixes(names: Mapping[str, Tensor]) -> list[str]:
    parts = [name.split(".") for name in names]
    return list(dict.fromkeys(".".join(p[:n]) + "." for p in parts for n in (1, 2) if len(p) > n))


def _fits(found: Mapping[str, Tensor], own: Mapping[str, Tensor], off: str, on: str) -> int:
    names = ((on + name.removeprefix(off), value) for name, value in found.items() if name.startswith(off))
    return sum(name in own and own[name].shape == value.shape for name, value in names)
