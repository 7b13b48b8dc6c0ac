"""What is true of the repository as a whole: one-way arrows, complete distributions, no file of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Set as AbstractSet
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = sorted(p.parent for p in [ROOT / "core" / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")])
OURS = re.compile(r"unlabeled(_\w+)?(\.|$)")


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def module(path: Path, folder: Path) -> str:
    """The dotted name of a source file."""
    return ".".join(path.relative_to(folder / "src").with_suffix("").parts).removesuffix(".__init__")


def run_time_imports(path: Path, known: AbstractSet[str]) -> set[str]:
    """The modules of ours that a file imports when it runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    ]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & known) or {str(node.module)}
    return found & known


def sources(folder: Path) -> list[Path]:
    return [p for p in sorted((folder / "src").rglob("*.py")) if "template" not in p.parts]


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda p: p.name)
def test_distribution_is_complete(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["build-system"]["build-backend"] == "hatchling.build"
    assert project["project"]["license"] == "Apache-2.0"
    assert list(folder.glob("src/*/py.typed")), "py.typed is missing"
    assert len((folder / "README.md").read_text()) > 300, "the README says too little"
    assert list((folder / "tests").rglob("test_*.py")), "no tests"
    for requirement in project["project"]["dependencies"]:
        assert re.search(r">=\d", requirement), f"{requirement} has no lower bound"
        assert not re.match(r"torch\b.*<", requirement), "torch has an upper bound"
        # GHSA-w37p-236h-pfx3: these two releases were malicious
        assert not requirement.startswith("lightning") or "!=2.6.2,!=2.6.3" in requirement


@pytest.mark.parametrize("path", sources(ROOT / "core"), ids=lambda p: p.name)
def test_core_imports_no_plugin(path: Path) -> None:
    wrong = {name for name in imports(path) if name.startswith("unlabeled_")}
    assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_no_import_circles() -> None:
    """Imports inside functions count; those for type checkers alone do not."""
    files = {module(path, folder): path for folder in DISTRIBUTIONS for path in sources(folder)}
    graph = {name: run_time_imports(path, files.keys()) - {name} for name, path in files.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize(("name", "allowed"), [("contract", {"unlabeled.layout"}), ("layout", set())])
def test_contract_imports_nothing_of_ours_at_run_time(name: str, allowed: set[str]) -> None:
    tree = ast.parse((ROOT / f"core/src/unlabeled/{name}.py").read_text())
    top = {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert {name for name in top if OURS.match(name)} == allowed


def test_no_tests_folder_is_a_package() -> None:
    # with importlib mode an __init__.py makes pytest collect same-named files wrongly (pytest #13997)
    assert not [p for d in DISTRIBUTIONS for p in (d / "tests").rglob("__init__.py")]


def test_no_file_of_ours_is_ignored_by_git() -> None:
    # hatch leaves what git ignores out of the wheel
    ignored = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ignored.stdout.split() == []


def test_no_file_names_a_path_of_one_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert listed, "git lists no files"
    wrong = []
    for name in listed:
        if name.endswith((".py", ".toml", ".yaml", ".yml", ".md", "Makefile")) and (ROOT / name).is_file():
            text = (ROOT / name).read_text(encoding="utf-8")
            if re.search(r"(?<![\w/])/(work|root|home/\w+)/", text):
                wrong.append(name)
    assert not wrong


def test_settings_that_make_loading_safe() -> None:
    """No ``torch.load`` without ``weights_only=True``, no unsafe YAML, no pickles, in any source or example."""
    wrong = []
    files = [p for d in DISTRIBUTIONS for p in sources(d)] + sorted((ROOT / "examples").rglob("*.py"))
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name, text = ast.unparse(node.func), ast.unparse(node)
            unsafe = name == "torch.load" and "weights_only=True" not in text
            unsafe |= name in {"yaml.load", "pickle.load", "pickle.loads", "joblib.load"}
            unsafe |= name.endswith("np.load") and "allow_pickle=True" in text
            if unsafe:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {name}")
    assert not wrong
