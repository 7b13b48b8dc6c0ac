"""Run a function on several ranks: processes on this machine that talk over gloo."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

LIMIT = timedelta(seconds=120)  # a rank that waits longer in a collective gives up


def run_ranks(function: Callable[..., Any], world: int = 2, *args: Any) -> list[Any]:
    """``function(*args)`` on each of ``world`` ranks, and what each returned, in rank order.

    The function stands at the top level of its file, which each rank loads by path (a test file need not be importable
    by name). Arguments are plain data and tensors, and results what ``torch.load(weights_only=True)`` reads: tensors,
    numbers, strings, and lists and dicts of them. An error on any rank is raised here with that rank's traceback.
    """
    source = inspect.getsourcefile(function)
    assert source is not None, f"{function} has no source file"
    assert "." not in function.__qualname__, f"{function} is not at the top level of its file"
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_rank, (world, folder, source, function.__module__, function.__qualname__, args), nprocs=world)
        return [torch.load(Path(folder) / f"{number}.pt", weights_only=True) for number in range(world)]


def _rank(number: int, world: int, folder: str, source: str, module: str, name: str, args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)  # ranks share the cores
    dist.init_process_group("gloo", f"file://{folder}/store", timeout=LIMIT, rank=number, world_size=world)
    try:
        result = getattr(_load(source, module), name)(*args)
        torch.save(result, Path(folder) / f"{number}.pt")
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _load(source: str, name: str) -> Any:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, source)
    assert spec is not None, source
    assert spec.loader is not None, source
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
