"""A component prints its settings, whether it is a module or not, unless it says something of its own."""

from dataclasses import dataclass

import torch

from unlabeled.plugins.core import ROWS
from unlabeled.plugins.registry import resolve
from unlabeled.plugins.shown import with_settings
from unlabeled.testing.toys import ToyEncoder

BY_NAME = {(row.kind, row.name): row for row in ROWS}


def test_a_mask_and_an_objective_print_their_settings():
    assert repr(resolve(BY_NAME["mask", "random"])(ratio=0.5)) == "RandomMask(ratio=0.5)"
    text = repr(resolve(BY_NAME["objective", "simclr"])(ToyEncoder(), temperature=0.2))
    assert text.startswith("SimCLR(\n  temperature=0.2, chunk=0\n  (projector): Sequential(")


def test_what_a_class_says_itself_stays():
    @dataclass
    class Kept:
        width: int = 3

    class Named(torch.nn.Module):
        def extra_repr(self):
            return "mine"

    assert repr(with_settings(Kept)()).endswith("Kept(width=3)")
    assert repr(with_settings(Named)()) == "Named(mine)"
