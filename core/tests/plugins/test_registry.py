"""Discovery: what loads, what one broken plugin must not stop, and what the messages say."""

import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from unlabeled.errors import PluginError, UsageError
from unlabeled.plugins.registry import Registry, registry, resolve, use_files
from unlabeled.plugins.words import CONTRACT, KINDS, Component, Domain, hookimpl


def row(kind="mask", name="block", **fields):
    return Component(kind=kind, name=name, target="toy.masks:Block", summary="blocks", **fields)


def domain(name="toy", *components, contract=CONTRACT, **defaults):
    return Domain(
        name=name, summary="", contract=contract, sample="", components=components or (row(),), defaults=defaults
    )


class Brings:
    """A plugin that brings a domain."""

    def __init__(self, found):
        self.found = found

    @hookimpl
    def unlabeled_domain(self) -> object:
        return self.found


class Adds:
    """A plugin that adds components; ``rows`` maps a domain to them, or raises for the ones it does not know."""

    def __init__(self, rows, strict=False):
        self.rows, self.strict = rows, strict

    @hookimpl
    def unlabeled_components(self, domain: str) -> list[object]:
        return self.rows[domain] if self.strict else self.rows.get(domain, [])


class Point(SimpleNamespace):
    """A stand-in for an installed entry point."""

    def load(self):
        if isinstance(self.plugin, Exception):
            raise self.plugin
        return self.plugin


@pytest.fixture
def installed(monkeypatch):
    def install(**plugins):
        dist = SimpleNamespace(name="unlabeled-x", version="1.0")
        points = [Point(name=name, plugin=plugin, dist=dist) for name, plugin in plugins.items()]
        monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points if group == "unlabeled" else [])
        return Registry

    return install


def empty():
    return Registry(discover=False)


# ------------------------------------------------------------------------------------------------- isolation


def test_core_comes_through_its_own_hook():
    kinds = {c.kind for c in empty().components("any")}
    assert {"objective", "probe", "optimizer", "schedule"} <= kinds


def test_a_plugin_that_raises_on_import_stops_no_other(installed):
    found = installed(bad=RuntimeError("boom"), toy=Brings(domain("toy", row())))()
    assert list(found.domains) == ["toy"]
    assert str(found.broken["bad"]) == "unlabeled-x 1.0: RuntimeError: boom"
    with pytest.raises(PluginError, match=r"'bad' is installed but broken: .*boom") as error:
        found.domain("bad")
    assert isinstance(error.value.__cause__, RuntimeError)
    with pytest.raises(UsageError, match=r"unknown domain 'tyo'.* meant toy.*broken: .*boom"):
        found.domain("tyo")


def test_a_misspelt_hook_is_an_error():
    class Misspelt:
        @hookimpl
        def unlabeled_domian(self) -> Domain:
            return domain()

    found = empty()
    with pytest.raises(Exception, match="unlabeled_domian"):
        found.add("toy", Misspelt())
    found.add("toy", Brings(domain()))  # nothing of the first is left behind
    assert list(found.domains) == ["toy"]


def test_a_hook_without_its_marker_is_an_error():
    with pytest.raises(PluginError, match=r"implements no hook: is @hookimpl missing"):
        empty().add("toy", SimpleNamespace(unlabeled_domain=domain))


def test_another_contract_is_refused_with_the_page():
    found = empty()
    with pytest.raises(PluginError, match=rf"contract 99, this core has {CONTRACT}; docs/architecture.md"):
        found.add("toy", Brings(domain(contract=99)))
    assert not found.domains


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Brings("vision"), "returned str; it must return a Domain"),
        (Brings(domain("toy", row(), row())), "two components mask 'block'"),
        (Brings(domain("toy", row("objective", "simclr"))), "two components objective 'simclr'"),
        (Brings(domain("toy", {"kind": "mask"})), "holds dict .*every row must be a Component"),
        (Brings(domain("toy", row(), encoder="vit")), "default encoder 'vit', which is no component"),
        (Brings(domain("toy", row(), clean="center")), "default views 'center', which is no component"),
    ],
)
def test_a_wrong_domain_is_refused_and_leaves_nothing(plugin, message):
    found = empty()
    with pytest.raises(PluginError, match=message):
        found.add("toy", plugin)
    assert not found.domains
    found.add("toy", Brings(domain()))


def test_defaults_may_name_core_components_and_families():
    found = empty()
    rows = (row(), row("encoder", "timm/*"))
    found.add("toy", Brings(domain("toy", *rows, objective="simclr", encoder="timm/resnet18", mask="random")))
    assert found.find("toy", "encoder", "timm/resnet50").name == "timm/*"
    with pytest.raises(UsageError, match="unknown encoder 'timm/'"):
        found.find("toy", "encoder", "timm/")


def test_two_plugins_of_one_domain_keep_the_first(installed):
    first, second = domain("toy", row(name="a")), domain("toy", row(name="b"))
    found = installed(one=Brings(first), two=Brings(second))()
    assert found.domains == {"toy": first}
    assert "brought by plugin 'one' already" in str(found.broken["two"])


def test_two_entry_points_of_one_name_keep_the_first(installed, monkeypatch):
    installed()
    points = [Point(name="toy", plugin=Brings(domain("toy", row(name=n))), dist=None) for n in ("a", "b")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    found = Registry()
    assert [c.name for c in found.domain("toy").components] == ["a"]
    assert "loaded already" in str(found.broken["toy"])


def test_a_plugin_fails_under_another_name_than_its_domain(installed):
    class Both(Brings):
        @hookimpl
        def unlabeled_components(self, domain: str) -> list[Component]:
            raise KeyError(domain)

    found = installed(aaa=Brings(domain("zzz")), zzz=Both(domain("other")))()
    assert list(found.domains) == ["zzz"]
    assert "KeyError" in str(found.broken["zzz"])


# ------------------------------------------------------------------------------------------------- additions


@pytest.mark.parametrize("order", ["extras first", "domain first"])
def test_components_are_added_to_a_domain_of_another(order):
    found = empty()
    plugins = {"toy": Brings(domain()), "extras": Adds({"toy": [row(name="grid")]})}
    for name in plugins if order == "domain first" else reversed(plugins):
        found.add(name, plugins[name])
    assert [c.name for c in found.components("toy", "mask")] == ["block", "grid", "random"]
    assert found.find("toy", "mask", "toy/grid").name == "grid"


@pytest.mark.parametrize(
    "extras",
    [Adds({"toy": [row()]}), Adds({}, strict=True), Adds({"toy": [{"kind": "mask"}]})],
    ids=["duplicate", "raises", "no component"],
)
@pytest.mark.parametrize("order", ["extras first", "domain first"])
def test_additions_that_do_not_fit_are_taken_out_and_the_domain_stays(installed, extras, order):
    names = ("a_extras", "toy") if order == "extras first" else ("toy", "z_extras")
    plugins = dict(zip(names, (extras, Brings(domain())) if names[1] == "toy" else (Brings(domain()), extras)))
    found = installed(**plugins)()
    assert [c.name for c in found.components("toy", "mask")] == ["block", "random"]
    assert list(found.broken) == [next(n for n in names if n != "toy")]


# ------------------------------------------------------------------------------------------------- questions


def test_unknown_names_list_the_near_ones():
    found = empty()
    with pytest.raises(UsageError, match=r"unknown domain 'vison'. No domain is installed: pip install"):
        found.domain("vison")
    found.add("toy", Brings(domain()))
    with pytest.raises(UsageError, match=r"unknown mask 'blok' in domain 'toy'. Perhaps you meant block."):
        found.find("toy", "mask", "blok")


def test_components_are_sorted_by_kind_and_name():
    found = [(KINDS.index(c.kind), c.name) for c in empty().components("any")]
    assert found == sorted(found)


def test_rows_say_what_is_wrong_with_them():
    with pytest.raises(PluginError, match=r"unknown kind 'maks'. Perhaps you meant mask"):
        row("maks")
    with pytest.raises(PluginError, match=r"must read 'package.module:Name'"):
        Component(kind="mask", name="x", target="toy.masks.Block", summary="")


def test_resolve_says_what_to_type():
    def at(target, extra=""):
        return Component(kind="mask", name="x", target=target, summary="", extra=extra)

    assert resolve(at("unlabeled.errors:near")).__name__ == "near"
    with pytest.raises(PluginError, match="errors has no Near"):
        resolve(at("unlabeled.errors:Near"))
    with pytest.raises(PluginError, match=r"there is no module 'unlabeled\.erors'"):
        resolve(at("unlabeled.erors:near"))


@pytest.mark.parametrize(("extra", "typed"), [("unlabeled-toy[flac]", r"unlabeled-toy\[flac\]"), ("", "absent_lib")])
def test_a_missing_package_names_the_extra(tmp_path, monkeypatch, extra, typed):
    (tmp_path / "needs_a_library.py").write_text("import absent_lib\n")
    monkeypatch.syspath_prepend(tmp_path)
    component = Component(kind="data", name="flac", target="needs_a_library:X", summary="", extra=extra)
    with pytest.raises(PluginError, match=f"data 'flac' needs the package 'absent_lib': pip install '{typed}'"):
        resolve(component)


# ------------------------------------------------------------------------------------------------- files, environment

FILE = """
from unlabeled.plugins.words import Component, Domain, hookimpl

class Noise:
    def __init__(self, *, rate: float = 0.1):
        self.rate = rate

@hookimpl
def unlabeled_domain():
    component = Component(kind="views", name="noise", target="unlabeled_plugin_mine:Noise", summary="noise")
    return Domain(name="mine", summary="", contract=1, sample="", components=(component,), defaults={"views": "noise"})
"""


def test_a_plugin_file_needs_no_packaging(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    found = Registry(files=[file], discover=False)
    assert resolve(found.find("mine", "views", "noise"))(rate=0.5).rate == 0.5
    assert found.versions["mine"] == str(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [("import nothing_of_the_kind", "No module named"), ("x = 1", "implements no hook"), ("def (", "SyntaxError")],
)
def test_a_broken_plugin_file_is_an_error_at_once(tmp_path, text, message):
    file = tmp_path / "bad.py"
    file.write_text(text)
    with pytest.raises(PluginError, match=message):
        Registry(files=[file], discover=False)
    with pytest.raises(UsageError, match="no such file"):
        Registry(files=[tmp_path / "absent.py"], discover=False)
    (tmp_path / "note.txt").write_text("x")
    with pytest.raises(UsageError, match="not a Python file"):
        Registry(files=[tmp_path / "note.txt"], discover=False)


@pytest.fixture
def fresh_registry():
    registry.cache_clear()
    yield
    use_files(())
    registry.cache_clear()


@pytest.mark.parametrize(("value", "expected"), [("a", ["a"]), ("a, b,", ["a", "b"]), ("", []), (None, ["a", "b"])])
def test_the_environment_restricts(installed, fresh_registry, monkeypatch, value, expected):
    installed(a=Brings(domain("a")), b=Brings(domain("b")))
    if value is None:
        monkeypatch.delenv("UNLABELED_PLUGINS", raising=False)
    else:
        monkeypatch.setenv("UNLABELED_PLUGINS", value)
    assert sorted(registry().domains) == expected


def test_the_environment_names_what_is_not_installed(installed, fresh_registry, monkeypatch):
    installed(a=Brings(domain("a")))
    monkeypatch.setenv("UNLABELED_PLUGINS", "a,audoi")
    assert registry().missing == ["audoi"]
    with pytest.raises(UsageError, match="UNLABELED_PLUGINS asks for audoi: not installed"):
        registry().domain("audio")


def test_use_files_reaches_the_registry(installed, fresh_registry, tmp_path):
    installed()
    (tmp_path / "mine.py").write_text(FILE)
    use_files([str(tmp_path / "mine.py")])
    assert list(registry().domains) == ["mine"]
    use_files([])
    assert list(registry().domains) == []


def test_loading_every_installed_plugin_imports_no_torch():
    program = """
        import sys
        from unlabeled.plugins.registry import registry
        found = registry()
        for name in found.domains:
            found.components(name)
        heavy = {"torch", "timm", "lightning", "sklearn", "transformers", "numpy"} & set(sys.modules)
        sys.exit(f"imported {sorted(heavy)}" if heavy else 0)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
