"""Where each objective runs, as the tables tell it without importing torch, is where the live parts let it run."""

import itertools
from functools import cache

import pytest
from torch import nn

from unlabeled.build import make, unmet
from unlabeled.config.recipes import describe_recipe, recipe_files
from unlabeled.config.run import resolve
from unlabeled.plugins.core import ROWS
from unlabeled.plugins.registry import registry

DOMAINS = sorted(registry().domains)
KINDS = ("views", "tokenizer", "mask", "encoder")
EXAMPLES = {"timm/*": "timm/resnet18", "slices/*": "slices/resnet18", "transformers/*": "transformers/bert"}
OBJECTIVES = [row for row in ROWS if row.kind == "objective"]
SETTINGS = {("graph", "nodes"): {"replace": 0.1}}  # with which a part gives all that its row says
LATER = {("graph", "codes"): {"ids"}}  # of a tokenizer that has them once it is given a run


@cache
def wired(domain):
    defaults = registry().domain(domain).defaults
    spec = make(domain, "data", defaults["data"], {}, {"path": None, "max_bad": 0.0}).spec
    return {"spec": spec, "encoder": make(domain, "encoder", defaults["encoder"], {}, {"spec": spec})}


@cache
def live(domain, kind):
    """Every part of a kind, with default settings."""
    given = wired(domain)
    found = []
    for row in registry().components(domain, kind):
        if row.name == "heard":  # of audio: it gives what this encoder reads
            given = given | {"encoder": make(domain, "encoder", "units", {}, given)}
        found.append(
            (row, make(domain, kind, EXAMPLES.get(row.name, row.name), SETTINGS.get((domain, row.name), {}), given))
        )
    return found


def words(kind, part, asked):
    """What a live part gives, in the words of :class:`Component`; of parameters those that an objective asks for."""
    if kind == "views":
        return (set(part.roles) - {"global"}) | (set(part.params) & asked)
    if kind == "mask":
        hides = {"hidden"} if part.sets & {"hidden", "swap", "shown"} else set()
        return hides | ({"predict"} if part.targets else set())
    if kind == "tokenizer":
        return {word for word, size in (("content", part.width), ("ids", part.vocabulary)) if size}
    return set(part.can)


def signature(kind, part):
    """Alike for parts that no objective could tell apart."""
    return str((getattr(part, "roles", ()), sorted(words(kind, part, set(getattr(part, "params", ()))))))


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_objective_of_a_recipe_runs(domain):
    for name in recipe_files(domain):
        row = registry().find(domain, "objective", describe_recipe(domain, name).objective)
        assert registry().unmet(domain, row) == "", name


def linear(dim, width):
    return nn.Linear(dim, width)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("domain", DOMAINS)
def test_a_row_gives_what_its_class_does(domain, kind):
    asked = {word.partition(":")[2] for row in OBJECTIVES for word in row.asks if word.startswith("views:")}
    for row, part in live(domain, kind):
        assert set(row.gives) - LATER.get((domain, row.name), set()) == words(kind, part, asked), row.name


@pytest.mark.parametrize("row", OBJECTIVES, ids=lambda row: row.name)
@pytest.mark.parametrize("domain", DOMAINS)
def test_an_objective_runs_where_the_tables_say_so(domain, row):
    config = resolve({"objective": {"name": row.name}}, domain).with_training(batch_size=64)
    given = wired(domain) | {"decoder": linear, "content": 8, "vocabulary": 8, "samples": 64}
    needs = make(domain, "objective", row.name, {}, given).needs
    parts = [{signature(k, part): part for _, part in live(domain, k)}.values() for k in KINDS]
    decoder = linear if registry().components(domain, "decoder") else None
    runs = any(not unmet(config, needs, v, t, m, e, decoder) for v, t, m, e in itertools.product(*parts))
    assert runs == (not registry().unmet(domain, row)), registry().unmet(domain, row)
