"""Write the pages that are made from the code: tables of components and recipes, and the API reference's stubs."""

from __future__ import annotations

from pathlib import Path

from unlabeled.config.recipes import describe_recipe, recipe_files
from unlabeled.plugins.registry import registry

DOCS = Path(__file__).parent
REFERENCE = {
    "contract": ["unlabeled.contract", "unlabeled.layout", "unlabeled.draw"],
    "plugins": ["unlabeled.plugins.registry", "unlabeled.testing"],
    "api": ["unlabeled.api"],
    "objectives": [],
}


def link(paper: str) -> str:
    if not paper:
        return ""
    return f"[{paper}](https://{'doi.org' if paper.startswith('10.') else 'arxiv.org/abs'}/{paper})"


def components() -> str:
    lines = ["# Components and recipes", "", "Made from the installed plugins by `make docs`.", ""]
    for domain in sorted(registry().domains):
        row = registry().domain(domain)
        lines += [f"## {domain}", "", f"{row.summary}. A sample: {row.sample}.", ""]
        lines += ["| kind | name | summary | paper |", "|---|---|---|---|"]
        for item in registry().components(domain):
            star = "*" if row.defaults.get(item.kind) == item.name else ""
            lines.append(f"| {item.kind} | `{item.name}`{star} | {item.summary} | {link(item.paper)} |")
        lines += ["", "`*` = default", "", "| recipe | summary | paper |", "|---|---|---|"]
        found = [describe_recipe(domain, name) for name in recipe_files(domain)]
        lines += [f"| `{recipe.name}` | {recipe.summary} | {link(recipe.paper)} |" for recipe in found]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    (DOCS / "components.md").write_text(components(), encoding="utf-8")
    folder = DOCS / "reference"
    folder.mkdir(exist_ok=True)
    rows = registry().components("*", "objective")
    REFERENCE["objectives"] = sorted({row.target.partition(":")[0] for row in rows})
    for page, modules in REFERENCE.items():
        text = f"# {page.capitalize()}\n\n" + "\n\n".join(f"::: {module}" for module in modules) + "\n"
        (folder / f"{page}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
