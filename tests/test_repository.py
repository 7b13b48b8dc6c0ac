"""What is true of the repository as a whole: one-way arrows, complete distributions, no file of one machine."""

import ast
import graphlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from unlabeled.plugins.registry import registry
from unlabeled.plugins.words import ROOMS

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = sorted(p.parent for p in [ROOT / "core" / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")])
OURS = re.compile(r"unlabeled(_\w+)?(\.|$)")


def imports(path):
    """Every module that a file imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def sources(folder):
    return [p for p in sorted((folder / "src").rglob("*.py")) if "template" not in p.parts]


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda p: p.name)
def test_distribution_is_complete(folder):
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
def test_core_imports_no_plugin(path):
    wrong = {name for name in imports(path) if name.startswith("unlabeled_")}
    assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


PACKAGES = [*ROOT.glob("plugins/*/src/*"), *ROOT.glob("examples/*/src/*"), *ROOT.glob("core/src/*/template/src/*")]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_rooms(package):
    """Beside the rooms of the kinds stand only the domain's words and its maths."""
    files = [p.relative_to(package) for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    found = {path.parts[0].partition(".")[0] for path in files}
    kinds = {room.partition(".")[0] for room in ROOMS.values()}
    assert found <= kinds | {"__init__", "py", "plugin", "cli", "batch", "ops", "recipes"}


@pytest.mark.parametrize("domain", sorted(registry().domains))
def test_a_component_lives_in_the_room_of_its_kind(domain):
    for row in registry().components(domain):
        module = row.target.partition(":")[0]
        rooms = [f"{module.partition('.')[0]}.{ROOMS[row.kind]}", "unlabeled.nn.decoders"]  # core's serves several
        assert any(f"{module}.".startswith(f"{room}.") for room in rooms), f"{row.kind} {row.name}: {row.target}"


def run_time(node):
    """Every node below ``node`` but those for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from run_time(child)


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda p: p.name)
def test_no_import_circle(folder):
    """Imports inside functions count: a circle that is put off is one all the same."""
    names = {}
    for path in sources(folder):
        parts = path.relative_to(folder / "src").with_suffix("").parts
        names[".".join(parts).removesuffix(".__init__")] = path
    graph = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        taken = [(n.module or "", a.name) for n in run_time(tree) if isinstance(n, ast.ImportFrom) for a in n.names]
        graph[name] = {f"{m}.{a}" if f"{m}.{a}" in names else m for m, a in taken} & names.keys() - {name}
    graphlib.TopologicalSorter(graph).prepare()


def test_no_objective_imports_another():
    paths = [p for d in DISTRIBUTIONS for p in sources(d) if p.parent.name == "objectives"]
    wrong = {p.name: {name for name in imports(p) if ".objectives" in name} for p in paths}
    assert not {name: found for name, found in wrong.items() if found}


@pytest.mark.parametrize(("name", "allowed"), [("contract", {"unlabeled.layout"}), ("layout", {"unlabeled.transfer"})])
def test_contract_imports_next_to_nothing_of_ours_at_run_time(name, allowed):
    tree = ast.parse((ROOT / f"core/src/unlabeled/{name}.py").read_text())
    top = {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert {name for name in top if OURS.match(name)} == allowed


def test_no_tests_folder_is_a_package():
    # with importlib mode an __init__.py makes pytest collect same-named files wrongly (pytest #13997)
    assert not [p for d in DISTRIBUTIONS for p in (d / "tests").rglob("__init__.py")]


def test_no_file_of_ours_is_ignored_by_git():
    # hatch leaves what git ignores out of the wheel
    ignored = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ignored.stdout.split() == []


def test_no_file_names_a_path_of_one_machine():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert listed, "git lists no files"
    wrong = []
    for name in listed:
        if name.endswith((".py", ".toml", ".yaml", ".yml", ".md", "Makefile")) and (ROOT / name).is_file():
            text = (ROOT / name).read_text(encoding="utf-8")
            if re.search(r"(?<![\w/])/(work|root|home/\w+)/", text):
                wrong.append(name)
    assert not wrong


def test_settings_that_make_loading_safe():
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
