"""Settings read from source equal those of the live objects, and values are converted strictly."""

import inspect
import math
from typing import Any, Literal

import pytest

from unlabeled.config import settings
from unlabeled.config.settings import REQUIRED, Setting, Signature, check, convert, parse, read_signature, show, spell
from unlabeled.errors import PluginError
from unlabeled.plugins import core as plugin
from unlabeled.plugins.words import Component

MODULE = '''
"""Samples of signatures."""
from dataclasses import dataclass
import heavy_library_that_is_not_installed


class Mask:
    """A mask.

    Args:
        ratio: share hidden, in [0, 1),
            over two lines.
        kind: how.

    Raises:
        ValueError: never.
    """

    def __init__(self, spec, encoder=None, *, ratio: float = 0.5, kind: Literal["a", "b"] = "a", must: int):
        pass


class Heir(Mask, heavy_library_that_is_not_installed.Part):
    """Another mask.

    Args:
        kind: in another way.
    """


class Own(Heir):
    """A mask with a constructor of its own."""

    def __init__(self, spec, *, ratio: float = 0.9):
        pass


class Bare:
    """No constructor."""


@dataclass(frozen=True)
class Spec:
    """Args: see there."""

    width: int
    scale: "tuple[float, ...]" = (1.0,)


def opt(groups, *, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), none: int | None = None):
    """An optimizer.

    Args:
        lr: rate.
    """


def computed(*, x: float = 1 / 3):
    pass


def odd(*, x: "complex" = 1):
    pass
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "samples_of_signatures.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    settings.read_signature.cache_clear()
    settings._tree.cache_clear()
    return "samples_of_signatures"


def test_a_class_is_read_without_its_imports(module):
    found = read_signature(module, "Mask")
    assert found.wired == ("spec", "encoder")
    assert found.optional == {"encoder"}
    assert found["ratio"] == Setting("ratio", float, 0.5, "share hidden, in [0, 1), over two lines.")
    assert found["kind"].type == Literal["a", "b"]
    assert found["must"].default is REQUIRED


def test_a_constructor_and_what_is_said_of_its_settings_are_inherited(module):
    heir, own = read_signature(module, "Heir"), read_signature(module, "Own")
    assert heir.wired == ("spec", "encoder")
    assert (heir["kind"].help, heir["ratio"]) == ("in another way.", read_signature(module, "Mask")["ratio"])
    assert own.settings == (Setting("ratio", float, 0.9, heir["ratio"].help),)


def test_a_class_without_constructor_has_no_settings(module):
    assert read_signature(module, "Bare") == Signature((), frozenset(), (), "No constructor.")


def test_a_dataclass_is_read_by_its_fields(module):
    found = read_signature(module, "Spec")
    assert [(s.name, s.type, s.default) for s in found.settings] == [
        ("width", int, REQUIRED),
        ("scale", tuple[float, ...], (1.0,)),
    ]


def test_a_function_is_read_too(module):
    found = read_signature(module, "opt")
    assert found.wired == ("groups",)
    assert [(s.name, s.default, s.help) for s in found.settings] == [
        ("lr", 1e-3, "rate."),
        ("betas", (0.9, 0.999), ""),
        ("none", None, ""),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("computed", "the default of 'x' must be a literal, found '1 / 3'"),
        ("odd", "'x' must be typed by int, float"),
        ("Absent", "has no class or function 'Absent' of its own"),
    ],
)
def test_what_cannot_be_read_is_the_plugins_error(module, name, message):
    with pytest.raises(PluginError, match=message):
        read_signature(module, name)


def test_a_module_that_does_not_exist():
    with pytest.raises(PluginError, match="no module 'nowhere"):
        settings.signature(Component(kind="mask", name="x", target="nowhere_at_all.x:Y", summary=""))


def _core_rows() -> list[Component]:
    return [row for row in plugin.ROWS if row.kind in ("objective", "mask", "optimizer", "schedule", "probe", "logger")]


@pytest.mark.parametrize("row", _core_rows(), ids=lambda row: f"{row.kind}-{row.name}")
def test_the_reading_equals_inspect(row):
    from unlabeled.plugins.registry import resolve

    live = inspect.signature(resolve(row)).parameters.values()
    found = settings.signature(row)
    assert list(found.wired) == [p.name for p in live if p.kind is p.POSITIONAL_OR_KEYWORD]
    expected = {p.name: p.default for p in live if p.kind is p.KEYWORD_ONLY}
    assert {s.name: s.default for s in found.settings} == expected
    assert all(s.help for s in found.settings), [s.name for s in found.settings if not s.help]


GOOD: list[tuple[Any, Any, Any]] = [
    (1, float, 1.0),
    ("1e-3", float, 1e-3),
    (math.inf, float, math.inf),
    (3, int, 3),
    (None, int | None, None),
    (3, int | None, 3),
    ([1, 2], tuple[float, float], (1.0, 2.0)),
    ([1, 2, 3], tuple[int, ...], (1, 2, 3)),
    ("a", Literal["a", "b"], "a"),
    (True, bool, True),
    ("auto", int | str, "auto"),
    (2, int | str, 2),
]


@pytest.mark.parametrize(("value", "kind", "expected"), GOOD)
def test_convert(value, kind, expected):
    found = convert(value, kind)
    assert found == expected
    assert type(found) is type(expected)


BAD: list[tuple[Any, Any]] = [
    (True, int),
    (True, float),
    (1, bool),
    ("true", bool),
    (1.5, int),
    ("3", int),
    ("x", float),
    (math.nan, float),
    ("nan", float),
    (None, int),
    ("c", Literal["a", "b"]),
    (1, Literal[True]),
    ([1], tuple[float, float]),
    ("ab", tuple[str, ...]),
    ([1, "x"], tuple[int, ...]),
    ({}, str),
    (1, str),
]


@pytest.mark.parametrize(("value", "kind"), BAD)
def test_convert_refuses(value, kind):
    with pytest.raises(TypeError):
        convert(value, kind)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("3", int, 3),
        ("-1e-3", float, -1e-3),
        ("5%", float, 0.05),
        ("none", float | None, None),
        ("0.5", float | None, 0.5),
        ("0.2,1", tuple[float, float], (0.2, 1.0)),
        ("[0.2, 1]", tuple[float, ...], (0.2, 1.0)),
        ("512", tuple[int, ...], (512,)),
        ("", tuple[int, ...], ()),
        ("off", bool, False),
        ("2", int | str, 2),
        ("auto", int | str, "auto"),
        ("2", Literal[1, 2], 2),
        ("none", str, "none"),
        ("none", str | None, None),
    ],
)
def test_parse(text, kind, expected):
    found = parse(text, kind)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("1.5", int), ("x", float), ("nan", float), ("maybe", bool), ("c", Literal["a"]), ("1,2,3", tuple[int, int])],
)
def test_parse_refuses(text, kind):
    with pytest.raises(TypeError):
        parse(text, kind)


@pytest.mark.parametrize("value", [3, -0.25, 1e-8, True, None, "auto", (0.2, 1.0), (512, 128), ()])
def test_what_is_shown_can_be_typed(value):
    kinds = {int: int, float: float, bool: bool, str: str, type(None): int | None}
    kind = kinds.get(type(value)) or tuple[type(value[0]) if value else int, ...]
    assert parse(show(value), kind) == value


def test_spell():
    assert spell(float | None) == "float or none"
    assert spell(Literal["a", "b"]) == "one of a, b"
    assert spell(tuple[float, float]) == "list of float, float"
    assert spell(tuple[int, ...]) == "list of int"


def test_check_lists_every_error(module):
    good, errors = check("mask", {"ratoi": 0.5, "ratio": "half", "kind": "c"}, read_signature(module, "Mask"))
    assert good == {}
    assert errors == [
        "mask has no setting 'ratoi'. Perhaps you meant ratio: float (share hidden, in [0, 1), over two lines; "
        "default 0.5)",
        "mask.ratio is 'half'; it must be float (share hidden, in [0, 1), over two lines; default 0.5)",
        "mask.kind is 'c'; it must be one of a, b (how; default a)",
        "mask.must must be given: int",
    ]


def test_settings_that_components_share_are_read_from_their_own_class(monkeypatch, tmp_path):
    (tmp_path / "unlabeled_shared.py").write_text('''
from typing import Literal, TypedDict, Unpack
class Columns(TypedDict, total=False):
    """Columns.

    Args:
        label: of classes.
    """
    label: str
class More(Columns, total=False):
    """More.

    Args:
        kind: of it.
    """
    kind: Literal["a", "b"]
class Data:
    """Data.

    Args:
        size: of it.
    """
    def __init__(self, path, *, size: int = 1, **columns: Unpack[More]): ...
''')
    monkeypatch.syspath_prepend(tmp_path)
    found = read_signature("unlabeled_shared", "Data")
    assert found.names == ("size", "label", "kind")
    assert found["label"] == Setting("label", str, "", "of classes.")
    assert (found["kind"].type, found["kind"].default) == (Literal["a", "b"], "a")
