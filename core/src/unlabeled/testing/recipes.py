"""What the recipes of a plugin are tested with: they say what they are, and a few steps leave no parameter unused."""

from __future__ import annotations

import torch

from unlabeled.build import Parts
from unlabeled.config.recipes import load_recipe, recipe_files
from unlabeled.contract import Progress, after_step

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


def check_steps(parts: Parts, *, samples: int = 8, steps: int = 2) -> None:
    """Ensure that ``steps`` steps on the first samples give every parameter a finite gradient, and a finite loss.

    Args:
        parts: as ``unlabeled.build.build`` gives them.
        samples: of the batch.
        steps: of the recipe's own optimizer.
    """
    parts.encoder.train()
    parts.objective.train()
    optimizer, _ = parts.optimizer(steps)
    for step in range(steps):
        loss = parts.loss(parts.data.__getitems__(range(samples)), step)
        assert torch.isfinite(loss.total), f"ensure that the loss is finite; it is {loss.total.item()}"
        tracked = [n for n, part in loss.parts.items() if part.requires_grad]
        assert not tracked, f"ensure that the parts of the loss are detached: {tracked}"
        optimizer.zero_grad()
        loss.total.backward()
        named = [*parts.encoder.named_parameters(), *parts.objective.named_parameters()]
        unused = [n for n, p in named if p.requires_grad and p.grad is None]
        assert not unused, f"ensure that no parameter that asks for a gradient goes without: {unused}"
        broken = [n for n, p in named if p.grad is not None and not torch.isfinite(p.grad).all()]
        assert not broken, f"ensure that gradients are finite: {broken}"
        optimizer.step()
        after_step(parts.objective, parts.encoder, Progress(step + 1, steps))
