"""Write the pages that are made from the code: components and recipes, the toolbox, and the API reference's stubs."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

from unlabeled import nn
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


INTRO = """# Toolbox

What methods are built of, each thing once: `unlabeled.nn`. Made from the docstrings by `make docs`; a test runs the
examples. Letters after an underscore are the dimensions of a tensor, as each heading says. `encoder`, `views` (two of
four samples of 16 rows), `masked` (one of them with hidden rows) and `objective` are toys: `unlabeled.testing.toys`.
"""


def toolbox() -> str:
    names = sorted(it.name for it in pkgutil.walk_packages(nn.__path__, "unlabeled.nn."))
    modules = {name: importlib.import_module(name) for name in names}
    rows = ["| module | holds |", "|---|---|"]
    rows += [f"| [`{name}`](#{anchor(name)}) | {_summary(module)} |" for name, module in modules.items()]
    return "\n".join([INTRO, *rows, "", *(_module(name, module) for name, module in modules.items())])


def anchor(name: str) -> str:
    return name.replace(".", "").lower()


def _summary(module: Any) -> str:
    return inspect.cleandoc(module.__doc__).split("\n\n")[0].replace("\n", " ")


def _module(name: str, module: Any) -> str:
    lines = [f"## {name}", "", _page(module)]
    for piece, value in vars(module).items():
        if getattr(value, "__module__", "") == name and not piece.startswith("_"):
            lines += [f"### {piece}", "", "```python", f"{piece}{_signature(value)}", "```", "", _page(value)]
    return "\n".join(lines)


def _signature(value: Any) -> str:
    text = str(inspect.signature(value)).removesuffix(" -> None").removesuffix(" -> 'None'")
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)


def _page(value: Any) -> str:
    """A docstring as Markdown: the legend of shapes as code, settings as a list, the example as code."""
    text, _, example = (inspect.getdoc(value) or "").partition("\n>>> ")
    text = re.sub(r"(?m)^    # .*(\n    # .*)*", lambda found: f"```text\n{inspect.cleandoc(found[0])}\n```", text)
    text = re.sub(r"(?m)^Args:\n((?:    .*\n?)+)", lambda found: _settings(found[1]), text)
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return text.strip() + (f"\n\n```python\n>>> {example.strip()}\n```\n" if example else "\n")


def _settings(block: str) -> str:
    joined = re.sub(r"\n     +", " ", inspect.cleandoc(block))
    return re.sub(r"(?m)^(\w+): ", r"- `\1`: ", re.sub(r"\n {4,}", " ", joined)) + "\n"


def main() -> None:
    (DOCS / "components.md").write_text(components(), encoding="utf-8")
    (DOCS / "toolbox.md").write_text(toolbox(), encoding="utf-8")
    folder = DOCS / "reference"
    folder.mkdir(exist_ok=True)
    rows = registry().components("*", "objective")
    REFERENCE["objectives"] = sorted({row.target.partition(":")[0] for row in rows})
    for page, modules in REFERENCE.items():
        text = f"# {page.capitalize()}\n\n" + "\n\n".join(f"::: {module}" for module in modules) + "\n"
        (folder / f"{page}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
