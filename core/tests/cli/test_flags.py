"""Flags: parsing, near misses, help."""

from typing import Literal

import pytest

from unlabeled.cli.flags import Flag, metavar, read, render, unknown
from unlabeled.config.settings import REQUIRED

FLAGS = (
    Flag("epochs", int, "passes over the data.", 100),
    Flag("batch-size", int, "samples", 256),
    Flag("tensorboard", bool, "write files", True),
    Flag("resume", bool, "go on", False),
    Flag("mask.ratio", float, "share hidden, in [0, 1)", 0.6, ("mask", "ratio")),
    Flag("views.scale", tuple[float, float], "of crops", (0.2, 1.0)),
    Flag("objective.ratio", float, "of terms", 1.0),
    Flag("steps", int | None, "at most", None),
    Flag("out", str, "folder", REQUIRED),
)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--epochs", "3"], {"epochs": 3}),
        (["--epochs=3"], {"epochs": 3}),
        (["--batch_size", "3"], {"batch-size": 3}),
        (["--epochs", "3", "--epochs", "4"], {"epochs": 4}),
        (["--resume"], {"resume": True}),
        (["--resume", "--epochs", "3"], {"resume": True, "epochs": 3}),
        (["--resume", "false"], {"resume": False}),
        (["--no-tensorboard"], {"tensorboard": False}),
        (["--tensorboard=off"], {"tensorboard": False}),
        (["--mask.ratio", "-0.5"], {"mask.ratio": -0.5}),
        (["--views.scale", "0.3", "1"], {"views.scale": (0.3, 1.0)}),
        (["--views.scale", "0.3,1"], {"views.scale": (0.3, 1.0)}),
        (["--steps", "none"], {"steps": None}),
        (["--out=a=b"], {"out": "a=b"}),
        (["--out", "-"], {"out": "-"}),
    ],
)
def test_values(words, expected):
    found = read(words, FLAGS)
    assert found.values == expected
    assert found.errors == []


def test_words_without_a_flag():
    assert read(["a", "--epochs", "3", "b"], FLAGS).words == ["a", "b"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "three"], "--epochs is 'three'; it must be int (passes over the data; default 100)"),
        (["--epochs", "1.5"], "--epochs is '1.5'; it must be int (passes over the data; default 100)"),
        (["--epochs"], "--epochs needs a value: --epochs INT (passes over the data; default 100)"),
        (["--out", "--resume"], "--out needs a value: --out STR (folder)"),
        (["--views.scale", "1,2,3"], "--views.scale is '1,2,3'; it must be list of float, float (of crops; "
         "default 0.2,1.0)"),
        (["--epoch", "3"], "unknown flag --epoch. Perhaps you meant --epochs INT (passes over the data; default 100)"),
        (["--mask.ratoi", "3"], "unknown flag --mask.ratoi. Perhaps you meant --mask.ratio FLOAT (share hidden, in "
         "[0, 1); default 0.6)"),
        (["--mask.size", "3"], "unknown flag --mask.size. Known there: --mask.ratio"),
        (["--zzzzzz"], "unknown flag --zzzzzz. See --help"),
        (["--resume=perhaps"], "--resume is 'perhaps'; it must be bool (go on; default false)"),
        (["--no-epochs"], "unknown flag --no-epochs. Perhaps you meant --epochs INT (passes over the data; "
         "default 100)"),
    ],
)  # fmt: skip
def test_mistakes(words, message):
    assert read(words, FLAGS).errors == [message]


def test_every_mistake_is_listed():
    found = read(["--epochs", "x", "--ratoi", "1", "--batch-size", "y", "--steps", "4"], FLAGS)
    assert len(found.errors) == 3
    assert found.values == {"steps": 4}


def test_the_values_of_an_unknown_flag_are_no_words():
    assert read(["--epoch", "3", "4"], FLAGS).words == []


def test_a_last_part_alone_means_its_owner():
    line = unknown("ratio", FLAGS)
    assert "--mask.ratio" in line
    assert "--objective.ratio" in line


def test_flags_of_an_unknown_component_are_passed_over():
    found = read(["--encoder.depth", "3", "--epochs", "2"], FLAGS, skip=["encoder."])
    assert found.errors == []
    assert found.values == {"epochs": 2}


@pytest.mark.parametrize(
    ("kind", "shown"),
    [(int, "INT"), (bool, ""), (float | None, "FLOAT|none"), (Literal["a", "b"], "{a,b}"),
     (tuple[float, float], "FLOAT,FLOAT"), (tuple[int, ...], "INT,..."), (int | str, "INT|STR")],
)  # fmt: skip
def test_metavar(kind, shown):
    assert metavar(kind) == shown


def test_help_shows_every_flag_with_its_default():
    text = render("x [flags]", "What it does.", FLAGS, notes="the end")
    for flag in FLAGS:
        assert flag.name in text
    assert "passes over the data [100]" in text
    assert "--[no-]tensorboard" in text
    assert "of crops [0.2,1.0]" in text
    assert text.startswith("usage: x [flags]")
    assert text.endswith("the end")
    assert max(map(len, text.splitlines())) <= 120
