"""Run a function on several ranks: processes on this machine that talk over gloo."""

import importlib.util
import inspect
import multiprocessing
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

LIMIT = timedelta(seconds=120)  # a rank that waits longer in a collective gives up
GRACE = 2.0  # seconds


def run_ranks(function: Callable[..., Any], world: int = 2, *args: Any) -> list[Any]:
    """``function(*args)`` on each of ``world`` ranks, and what each returned, in rank order.

    The function stands at the top level of its file, which each rank loads by path (a test file need not be importable
    by name). Arguments and results are what ``torch.load(weights_only=True)`` reads: tensors, numbers, strings, and
    lists and dicts of them. An error on any rank is raised here as ``RuntimeError`` with that rank's traceback.

    The processes are kept for the next call (starting two of them costs seconds, most of it importing torch), as long
    as the environment, the working folder and the import path stay the same; each call has a process group of its own.
    """
    source = inspect.getsourcefile(function)
    assert source is not None, f"{function} has no source file"
    assert "." not in function.__qualname__, f"{function} is not at the top level of its file"
    with tempfile.TemporaryDirectory() as folder:
        torch.save(args, Path(folder) / "args.pt")
        _pool(world).run((folder, source, function.__module__, function.__qualname__))
        return [torch.load(Path(folder) / f"{number}.pt", weights_only=True) for number in range(world)]


class _Pool:
    """Processes that wait for a task. Any error ends them all: a rank may be stuck in a collective."""

    def __init__(self, world: int) -> None:
        self.surroundings = _surroundings()
        context = multiprocessing.get_context("spawn")
        self.processes, self.pipes = [], []
        for number in range(world):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(number, world, theirs), daemon=True)
            process.start()
            theirs.close()  # so that ours says when the process is gone
            self.processes.append(process)
            self.pipes.append(ours)

    def run(self, task: tuple[str, ...]) -> None:
        done = False
        try:
            for pipe in self.pipes:
                pipe.send(task)
            waiting, errors = dict(enumerate(self.pipes)), ""
            # after an error the others have a moment to tell theirs: one may only say that its partner is gone
            while waiting and (ready := wait(list(waiting.values()), timeout=GRACE if errors else None)):
                for number in [n for n, pipe in waiting.items() if pipe in ready]:
                    if error := _receive(waiting.pop(number)):
                        errors += f"rank {number} of {len(self.pipes)} failed:\n{error}\n"
            if errors:
                raise RuntimeError(errors)
            done = True
        finally:
            if not done:
                self.stop()

    def stop(self) -> None:
        for process, pipe in zip(self.processes, self.pipes, strict=True):
            process.kill()
            process.join()
            pipe.close()
        _pools.pop(len(self.pipes), None)


_pools: dict[int, _Pool] = {}


def _pool(world: int) -> _Pool:
    pool = _pools.get(world)
    if pool is not None and pool.surroundings != _surroundings():
        pool.stop()
    if world not in _pools:
        _pools[world] = _Pool(world)
    return _pools[world]


def _surroundings() -> tuple[Any, ...]:
    """What a process takes over when it starts. pytest writes the name of each test into the environment."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    return environment, os.getcwd(), list(sys.path)


def _receive(pipe: Connection) -> str:
    try:
        return str(pipe.recv())
    except EOFError:
        return "the process died without a word; was it killed for memory?"


def _serve(number: int, world: int, pipe: Connection) -> None:
    torch.set_num_threads(1)  # ranks share the cores
    while True:
        try:
            task = pipe.recv()
        except EOFError:  # the parent is gone
            return
        try:
            _work(number, world, *task)
        except BaseException:
            pipe.send(traceback.format_exc())
            raise
        pipe.send("")


def _work(number: int, world: int, folder: str, source: str, module: str, name: str) -> None:
    torch.manual_seed(0)
    dist.init_process_group("gloo", f"file://{folder}/store", timeout=LIMIT, rank=number, world_size=world)
    try:
        args = torch.load(Path(folder) / "args.pt", weights_only=True)
        result = getattr(load(source, module), name)(*args)
        torch.save(result, Path(folder) / f"{number}.pt")
        dist.barrier()
    finally:
        dist.destroy_process_group()


def load(source: str, name: str) -> Any:
    """The module of that name, from its file."""
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == source:
        return known
    spec = importlib.util.spec_from_file_location(name, source)
    assert spec is not None, source
    assert spec.loader is not None, source
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
