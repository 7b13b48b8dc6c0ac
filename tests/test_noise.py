"""Recipes of every domain on white noise that no two views share: nothing falls below what position allows.

Each recipe stands as it is, masks, tokenizer and encoder, but for a small batch. Its views are made, then hold noise:
pixels, frames of the spectrogram, features of nodes, voxels, words. Methods of volumes that no recipe of contrast,
clusters or masks stands for are asked in their own files.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from unlabeled.build import build
from unlabeled.config.recipes import load_recipe
from unlabeled.config.run import merge, resolve
from unlabeled.testing.noise import Floor, nothing_in_noise_of_a_recipe

COUNT, NODES = 16, 60
NT_XENT, ABSOLUTE = math.log(2 * COUNT - 1), math.sqrt(2 / math.pi)


def pixels(batch: Any, generator: torch.Generator) -> Any:
    return replace(batch, images=torch.randn(batch.images.shape, generator=generator))


def frames(batch: Any, generator: torch.Generator) -> Any:
    spec = load_spec("audio")
    return replace(batch, mel=torch.randn(sum(map(spec.frames, batch.lengths)), spec.mels, generator=generator))


def nodes(batch: Any, generator: torch.Generator) -> Any:
    return batch.featured(torch.randn(batch.x.shape, generator=generator))


def words(batch: Any, generator: torch.Generator) -> Any:
    plain = load_spec("text").ordinary
    drawn = plain[torch.randint(len(plain), batch.tokens.shape, generator=generator)]
    return replace(batch, tokens=torch.where(torch.isin(batch.tokens, plain), drawn, batch.tokens))


NOISE: dict[str, Callable[[Any, torch.Generator], Any]] = {
    "vision": pixels, "audio": frames, "graph": nodes, "medical3d": pixels, "text": words,
}  # fmt: skip
SPECS: dict[str, Any] = {}


def load_spec(domain: str) -> Any:
    """Of the data that the test at hand reads."""
    return SPECS[domain]


def usage(part: str = "code_perplexity") -> Floor:
    """Codes that cannot be foreseen are guessed by how often each is used."""
    return lambda parts: math.log(parts[part])


CASES: dict[tuple[str, str], dict[str, Floor]] = {
    ("vision", "simclr"): {"loss": NT_XENT},
    ("vision", "mae"): {"loss": 15 / 16},  # of normalized rows of at least 16 numbers
    ("vision", "simmim"): {"loss": ABSOLUTE},
    ("vision", "swav"): {"loss": math.log(64)},
    ("vision", "nnclr"): {"loss": math.log(COUNT)},
    ("vision", "moco_v3"): {"loss": 0.4 * math.log(COUNT)},  # 2 tau times InfoNCE
    ("audio", "cola"): {"loss": math.log(COUNT)},
    ("audio", "mae"): {"loss": 31 / 32},
    ("audio", "simclr"): {"loss": NT_XENT},
    ("audio", "best_rq"): {"loss": usage()},
    ("graph", "graphmae"): {"loss": 1.0},
    ("graph", "graphmae2"): {"features": 1.0},
    ("graph", "simmim"): {"loss": ABSOLUTE},
    ("graph", "grace"): {"loss": math.log(2 * NODES - 1)},
    ("medical3d", "mae"): {"loss": 1.0 - 1 / 64},
    ("medical3d", "simmim"): {"loss": ABSOLUTE},
    ("medical3d", "uni4eye"): {"intensity": 1.0},
    ("medical3d", "simclr"): {"loss": NT_XENT},
    ("text", "whole_word"): {"loss": lambda _: math.log(len(load_spec("text").ordinary))},
    ("text", "simcse"): {"loss": math.log(COUNT)},
    ("text", "mlm"): {"loss": lambda _: math.log(len(load_spec("text").ordinary))},
}
SMALL: dict[str, dict[str, Any]] = {
    "graph": {"data": {"name": "blocks", "nodes": NODES, "words": 16}},
    "medical3d": {"data": {"name": "phantoms", "count": COUNT}},
}
OWN: dict[tuple[str, str], dict[str, Any]] = {("vision", "swav"): {"objective": {"prototypes": 64, "freeze": 0.0}}}


FAST = (("vision", "mae"), ("graph", "simmim"), ("medical3d", "simmim"), ("text", "mlm"), ("text", "simcse"))
RECIPES = [
    pytest.param(*key, id="-".join(key), marks=[] if key in FAST else [pytest.mark.slow]) for key in CASES
]  # fmt: skip


@pytest.mark.parametrize(("domain", "name"), RECIPES)
def test_nothing_is_learned_from_noise(domain: str, name: str) -> None:
    small = {"training": {"batch_size": 0 if domain == "graph" else COUNT}} | SMALL.get(domain, {})
    torch.manual_seed(0)
    given = merge(merge(load_recipe(domain, name), small), OWN.get((domain, name), {}))
    parts = build(resolve(given, domain))
    SPECS[domain] = parts.data.spec
    nothing_in_noise_of_a_recipe(parts, NOISE[domain], CASES[domain, name], steps=20, lr=1e-3)
