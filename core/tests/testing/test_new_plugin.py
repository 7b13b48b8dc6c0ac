"""`unlabeled plugin new NAME`: what it writes runs, and passes the conformance kit, before any edit."""

import importlib
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from unlabeled.errors import UsageError
from unlabeled.plugins.registry import registry
from unlabeled.testing import CHECKS, check
from unlabeled.testing.new_plugin import write

FILES = """
README.md
pyproject.toml
src/unlabeled_toy_new/__init__.py
src/unlabeled_toy_new/baselines.py
src/unlabeled_toy_new/batch.py
src/unlabeled_toy_new/data.py
src/unlabeled_toy_new/encoders.py
src/unlabeled_toy_new/masks.py
src/unlabeled_toy_new/plugin.py
src/unlabeled_toy_new/recipes/simclr.yaml
src/unlabeled_toy_new/tokenizers.py
src/unlabeled_toy_new/views.py
tests/test_conformance.py
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write("toy_new", tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "unlabeled-toy_new" / "src")
    registry().add("toy_new", importlib.import_module("unlabeled_toy_new.plugin"))
    yield tmp_path / "unlabeled-toy_new"
    registry.cache_clear()
    for name in [name for name in sys.modules if name.startswith("unlabeled_toy_new")]:
        del sys.modules[name]


def test_exactly_these_files_are_written(tmp_path: Path) -> None:
    written = write("toy_new", tmp_path)
    root = tmp_path / "unlabeled-toy_new"
    assert [str(p.relative_to(root)) for p in written] == FILES.split()
    assert all(p.is_file() for p in written)
    for path in written:
        assert "NAME" not in path.read_text(), path


def test_the_distribution_names_its_entry_point(tmp_path: Path) -> None:
    write("toy_new", tmp_path)
    project = tomllib.loads((tmp_path / "unlabeled-toy_new" / "pyproject.toml").read_text())
    assert project["project"]["name"] == "unlabeled-toy_new"
    assert project["project"]["entry-points"]["unlabeled"] == {"toy_new": "unlabeled_toy_new.plugin"}


def test_it_passes_every_check_before_any_edit(plugin: Path) -> None:
    outcomes = list(check("toy_new"))
    assert [o.check for o in outcomes] == [c.__name__ for c in CHECKS]
    assert [str(o) for o in outcomes if not o.good] == []
    idle = {o.check for o in outcomes if o.status == "not applicable"}
    assert idle == {"check_encoder_equals_the_bare_model"}  # a plain torch model wraps no library


def test_its_recipe_and_components_are_found(plugin: Path) -> None:
    from unlabeled.config.recipes import describe_recipe

    assert {c.kind for c in registry().domain("toy_new").components} >= {"data", "views", "encoder", "mask"}
    assert describe_recipe("toy_new", "simclr").encoder == "transformer"


def test_its_own_test_file_is_a_test(plugin: Path) -> None:
    program = f"""
        import importlib, sys
        import pytest
        from unlabeled.plugins.registry import registry
        sys.path.insert(0, {str(plugin / "src")!r})
        registry().add("toy_new", importlib.import_module("unlabeled_toy_new.plugin"))
        sys.exit(pytest.main(["-q", "-k", "settings or mask", "-p", "no:cacheprovider", {str(plugin)!r}]))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, cwd=plugin)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My-Plugin", "perhaps 'my_plugin'"),
        ("9lives", "perhaps 'lives'"),
        ("a__b", "cannot name a plugin"),
        ("a_", "perhaps 'a'"),
        ("../evil", "perhaps 'evil'"),
        ("", "cannot name a plugin"),
        ("über", "cannot name a plugin"),
        ("class", "a meaning of its own; perhaps 'my_class'"),
        ("list", "a meaning of its own"),
    ],
)
def test_names_that_cannot_be_one_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write("toy_new", tmp_path)
    with pytest.raises(UsageError, match="unlabeled-toy_new exists already"):
        write("toy_new", tmp_path)


def test_an_installed_domain_is_not_named_again(plugin: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a domain 'toy_new' is installed already"):
        write("toy_new", tmp_path / "elsewhere")


def test_writing_imports_no_torch(tmp_path: Path) -> None:
    program = f"from unlabeled.testing.new_plugin import write; write('quick', {str(tmp_path)!r}); import sys; "
    done = subprocess.run([sys.executable, "-c", program + "sys.exit('torch' in sys.modules)"], capture_output=True)
    assert done.returncode == 0, done.stderr
