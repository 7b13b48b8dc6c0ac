"""``unlabeled recipes [DOMAIN]``: known-good compositions, from the heads of their files."""

from dataclasses import asdict, dataclass
from typing import Any

from unlabeled.cli.list import columns, link
from unlabeled.config.recipes import Recipe, describe_recipe, recipe_files
from unlabeled.errors import UsageError
from unlabeled.plugins.registry import registry


@dataclass(frozen=True)
class Recipes:
    """Recipes, and what is wrong with each that cannot be read."""

    recipes: list[Recipe]
    broken: list[str]

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {"recipes": [asdict(recipe) for recipe in self.recipes], "broken": self.broken}

    def text(self) -> str:
        """A table."""
        rows = [(r.domain, r.name, r.objective, r.encoder, link(r.paper), r.summary) for r in self.recipes]
        table = columns([("domain", "recipe", "objective", "encoder", "paper", "summary"), *rows])
        return "\n".join([table, *(f"not readable: {line}" for line in self.broken)])


def recipes_command(domain: str = "") -> Recipes:
    """Every recipe: what it composes, and its paper."""
    found = Recipes([], [])
    for each in [domain] if domain else sorted(registry().domains):
        for name in recipe_files(each):
            try:
                found.recipes.append(describe_recipe(each, name))
            except UsageError as error:
                found.broken.append(f"{each} {name}: {error}")
    return found
