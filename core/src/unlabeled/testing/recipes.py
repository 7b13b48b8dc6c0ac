"""Tests of recipes: they say what they are, and a few steps leave no parameter unused."""

from collections.abc import Sequence

from unlabeled.build import Parts
from unlabeled.config.recipes import load_recipe, recipe_files
from unlabeled.contract import Progress
from unlabeled.nn.clock import after_step
from unlabeled.testing.subject import ensure, weights

LONGEST = 70  # characters of a summary, so that a table of recipes fits a terminal


def check_description(domain: str, name: str, data: str) -> None:
    """Ensure that a recipe's file opens with its paper's address and the command that runs it, and has a summary.

    Args:
        domain: the plugin's domain.
        name: of the recipe.
        data: what its command reads (``photos/``).
    """
    raw, text = load_recipe(domain, name), recipe_files(domain)[name].read_text(encoding="utf-8")
    assert text.startswith("# "), f"ensure that {name} opens with what it computes"
    kind, _, number = raw["paper"].rpartition(":")
    where = "openreview.net/forum?id=" if kind == "openreview" else "arxiv.org/abs/"
    assert f"https://{where}{number}" in text, f"ensure that {name} names its paper, {where}{number}"
    command = f"# unlabeled {domain} pretrain {name} --data {data} --out runs/{name}"
    assert command in text, f"ensure that {name} has the line {command!r}"
    assert 0 < len(raw["summary"]) < LONGEST, f"ensure that the summary of {name} has at most {LONGEST - 1} characters"


def check_steps(parts: Parts, ids: Sequence[int] = range(8), *, steps: int = 2) -> None:
    """Ensure that the first steps give a finite loss, and every parameter that asks for one a finite gradient.

    Args:
        parts: as ``unlabeled.build.build`` gives them.
        ids: of the batch.
        steps: of the recipe's own optimizer.
    """
    who = f"recipe {parts.config.recipe!r}" if parts.config.recipe else "the default composition"
    optimizer, _ = parts.optimizer(steps)
    learning = weights(parts.encoder, parts.objective)
    for step in range(steps):
        loss = parts.loss(parts.data.__getitems__(list(ids)), step)
        ensure(loss.total.dim() == 0 and bool(loss.total.isfinite()), f"the loss of {who} is a number", loss.total)
        grown = [name for name, part in loss.parts.items() if part.requires_grad]
        ensure(not grown, f"the logged parts of {who} are detached", grown)
        optimizer.zero_grad()
        loss.total.backward()
        unused = [name for name, p in learning.items() if p.grad is None]
        ensure(not unused, f"{who} uses every parameter that wants a gradient", unused[:6])
        wild = [name for name, p in learning.items() if p.grad is not None and not bool(p.grad.isfinite().all())]
        ensure(not wild, f"every gradient of {who} is finite", wild[:6])
        optimizer.step()
        after_step(parts.objective, parts.encoder, Progress(step + 1, steps))
