"""Which small changes of a source file its own fast tests do not notice: ``make mutants``, or with names of files.

    python tests/mutants.py core/src/unlabeled/objectives/dcl.py
    python tests/mutants.py --most 20                              # of each file, spread over it

Changes are one at a time: operators, comparisons, arguments and members exchanged, a factor 0, a minus or ``detach``
dropped, a branch always or never taken. No file is touched: a change lives in a fork that imports it and runs the
tests. ``tests/mutants.md`` has the counts, and the reason beside each survivor that means nothing, which is kept.
Tests that start other processes are left out, since these would run the unchanged code.
"""

import argparse
import ast
import copy
import importlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT, TABLE = HERE.parent, HERE / "mutants.md"
CORE = ROOT / "core" / "src" / "unlabeled"
MORE = {  # tests of a file that stand elsewhere
    "barlow_twins": ["test_joint_embedding"], "byol": ["test_joint_embedding"], "simclr": ["test_joint_embedding"],
    "vicreg": ["test_joint_embedding"],
    "whitening": ["../objectives/test_vicreg", "../objectives/test_joint_embedding"],
    "cosine": ["../objectives/test_byol", "../objectives/test_graphmae"],
}  # fmt: skip
TURN = {"min": "max", "amin": "amax", "argmin": "argmax", "minimum": "maximum"}
TURN |= {new: old for old, new in TURN.items()}
EXCHANGE: dict[type, type] = {ast.Add: ast.Sub, ast.Mult: ast.Div, ast.Lt: ast.GtE, ast.Gt: ast.LtE, ast.Eq: ast.NotEq}
EXCHANGE |= {new: old for old, new in EXCHANGE.items()}
QUIET = ["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
KEPT = re.compile(r"^- `(?P<key>.+)`: (?P<reason>.+)$", re.MULTILINE)


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What is changed, and the node that then stands there."""

    def changed(what: str, **fields: object) -> tuple[str, ast.AST]:
        new = copy.deepcopy(node)
        for name, value in fields.items():
            setattr(new, name, value)
        return what, new

    if isinstance(node, ast.BinOp) and type(node.op) in EXCHANGE:
        yield changed("operator exchanged", op=EXCHANGE[type(node.op)]())
        if isinstance(node.op, ast.Mult):
            yield changed("factor 0", left=ast.Constant(0))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield "minus dropped", copy.deepcopy(node.operand)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in EXCHANGE:
        yield changed("comparison turned", ops=[EXCHANGE[type(node.ops[0])](), *node.ops[1:]])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in TURN:
            yield changed("extreme turned", func=ast.Attribute(node.func.value, TURN[node.func.attr], ast.Load()))
        if node.func.attr == "detach":
            yield "detach dropped", copy.deepcopy(node.func.value)
    if isinstance(node, ast.Call) and len(node.args) > 1 and all(map(_plain, node.args[:2])):
        yield changed("arguments exchanged", args=[node.args[1], node.args[0], *node.args[2:]])
    if (
        isinstance(node, ast.Tuple)
        and isinstance(node.ctx, ast.Load)
        and len(node.elts) == 2 == sum(map(_plain, node.elts))
    ):
        yield changed("members exchanged", elts=node.elts[::-1])
    if isinstance(node, ast.IfExp) or (isinstance(node, ast.If) and not isinstance(node.body[0], ast.Raise)):
        yield changed("always", test=ast.Constant(True))
        yield changed("never", test=ast.Constant(False))


def _plain(node: ast.AST) -> bool:
    return isinstance(node, ast.Name | ast.Attribute | ast.Subscript)


def mutants(source: str) -> Iterator[tuple[str, ast.Module]]:
    """Every change inside the functions of a file: where and what, and the whole file with it."""
    tree = ast.parse(source)
    for function in [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name != "__init__"]:
        hints = {id(x) for n in ast.walk(function) for h in ("annotation", "returns", "decorator_list")
                 for part in [getattr(n, h, None)] for top in (part if isinstance(part, list) else [part]) if top
                 for x in ast.walk(top)}  # fmt: skip
        for parent in ast.walk(function):
            for name, value in ast.iter_fields(parent):
                for place, node in enumerate(value if isinstance(value, list) else [value]):
                    if not isinstance(node, ast.AST) or id(node) in hints:
                        continue
                    for what, new in changes(node):
                        setattr(
                            parent, name, [*value[:place], new, *value[place + 1 :]] if type(value) is list else new
                        )
                        text = " ".join(ast.unparse(node).split())[:70].replace("`", "'")
                        yield f"{function.name}: {what}: {text}", ast.fix_missing_locations(copy.deepcopy(tree))
                        setattr(parent, name, value)


def tests_of(file: Path) -> list[str]:
    """Arguments of pytest that run a file's own fast tests."""
    folder = ROOT / "core" / "tests" / file.parent.relative_to(CORE)
    found = [folder / f"{name}.py" for name in (f"test_{file.stem}", *MORE.get(file.stem, ()))]
    chosen = [str(path) for path in found if path.exists()]
    rows = (CORE / "plugins" / "core.py").read_text(encoding="utf-8")  # the names of a file's objectives
    names = re.findall(rf'"objective", "(\w+)", "{file.stem}:', rows) if file.parent.name == "objectives" else []
    if names:
        chosen.append(str(folder / "test_conduct.py"))
    return [*chosen, "-k", f"({' or '.join(['not test_conduct', *names])}) and not ranks"]


def passes(file: Path, module: ast.Module | None, arguments: list[str], seconds: float) -> bool:
    """Whether the tests pass in a fork where ``file`` is ``module``; one that takes too long has noticed."""
    child = os.fork()
    if child == 0:
        os.setsid()
        if module is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
        read = SourceFileLoader.get_code

        def get_code(loader: SourceFileLoader, name: str) -> object:
            ours = module is not None and Path(loader.path) == file
            return compile(module, str(file), "exec") if ours else read(loader, name)  # type: ignore[arg-type]

        SourceFileLoader.get_code = get_code  # type: ignore[assignment, method-assign]
        import pytest

        os._exit(int(pytest.main([*QUIET, *arguments])))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def survivors(file: Path, most: int, seconds: float) -> tuple[int, list[str]]:
    """How many changes were tried, and those that the tests did not notice."""
    arguments = tests_of(file)
    if not passes(file, None, arguments, seconds):
        sys.exit(f"{file.relative_to(ROOT)}: its tests fail, or there are none, before any change")
    every = list(mutants(file.read_text(encoding="utf-8")))
    tried = every if len(every) <= most else [every[int(k * len(every) / most)] for k in range(most)]
    return len(tried), [what for what, module in tried if passes(file, module, arguments, seconds)]


def write(rows: dict[str, tuple[int, list[str]]]) -> None:
    """Counts and survivors of ``rows``, and of files that were not run what the table said before."""
    text = TABLE.read_text(encoding="utf-8") if TABLE.exists() else ""
    reasons = {found["key"]: found["reason"] for found in KEPT.finditer(text)}
    before = dict(re.findall(r"^\| `(.+?)` (\|.+)$", text, re.MULTILINE))
    counts = before | {name: f"| {tried} | {tried - len(left)} | {len(left)} |" for name, (tried, left) in rows.items()}
    keys = [key for key in reasons if key.split(" ")[0] not in rows]
    keys += [f"{name} {what}" for name, (_, left) in rows.items() for what in left]
    head = ["# Changes that the tests do not notice", "", "Made by `make mutants`; a reason beside a survivor is kept.",
            "", "| file | changes | noticed | survivors |", "|---|---|---|---|"]  # fmt: skip
    lines = [*head, *(f"| `{name}` {row}" for name, row in sorted(counts.items())), "", "## Survivors", ""]
    lines += [f"- `{key}`: {reasons.get(key, 'a test is missing')}" for key in sorted(set(keys))]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", help="all of core's objectives and nn, where none is named")
    parser.add_argument("--most", type=int, default=60, help="changes of a file")
    parser.add_argument("--seconds", type=float, default=300, help="of the tests, under one change")
    given = parser.parse_args()
    for slow in ("pytest", "lightly.loss", "sklearn.metrics", "torchvision"):
        importlib.import_module(slow)  # once; nothing of ours, which a change must reach
    every = sorted([*(CORE / "objectives").glob("*.py"), *(CORE / "nn").glob("*.py")])
    for file in [path.resolve() for path in given.files] or [path for path in every if path.stem != "__init__"]:
        found = survivors(file, given.most, given.seconds)
        name = str(file.relative_to(ROOT))
        print(f"{name}: {found[0] - len(found[1])} of {found[0]} noticed", *found[1], sep="\n    ", flush=True)
        write({name: found})


if __name__ == "__main__":
    main()
