"""Examples in docstrings give what they say, and every piece of the toolbox has one."""

import doctest
import importlib
import inspect
import pkgutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import unlabeled
from unlabeled import nn
from unlabeled.objectives.simclr import SimCLR
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_hide, toy_views

SOURCE = Path(unlabeled.__file__).parent
NEEDS_DATA = {"unlabeled.api"}  # a folder of photos
WITH_EXAMPLES = sorted(
    ".".join(("unlabeled", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
    for file in SOURCE.rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)
TOOLBOX = [it.name for it in pkgutil.walk_packages(nn.__path__, "unlabeled.nn.")]


def toys():
    """What examples may use beside the names of their module."""
    torch.manual_seed(0)
    encoder = ToyEncoder()
    views = toy_views(toy_batch(range(4)), encoder=encoder)
    return {
        "torch": torch,
        "nn": torch.nn,
        "encoder": encoder,
        "views": views,
        "masked": replace(toy_hide(views[0], 2), ids=torch.zeros(views[0].layout.total, dtype=torch.int64)),
        "objective": SimCLR(encoder, projector=(8, 4)),
    }


@pytest.mark.parametrize("name", [name for name in WITH_EXAMPLES if name not in NEEDS_DATA])
def test_examples_give_what_they_say(name, capsys):
    failed, tried = doctest.testmod(importlib.import_module(name), extraglobs=toys())
    assert tried > 0
    assert failed == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", TOOLBOX)
def test_every_piece_of_the_toolbox_has_an_example(name):
    module = importlib.import_module(name)
    for piece, value in vars(module).items():
        if getattr(value, "__module__", "") == name and not piece.startswith("_"):
            assert ">>> " in (inspect.getdoc(value) or ""), f"{name}.{piece} has no example"
