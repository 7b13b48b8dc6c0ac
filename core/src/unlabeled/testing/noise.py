"""What a method finds in white noise that no two views share: no more than can be had without looking at a view.

A loss that falls below reads what it should not: content of hidden rows, the other view, the number of the sample.
Not to be asked of methods whose targets are learned and may become even (I-JEPA, data2vec).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from unlabeled.build import Parts
from unlabeled.contract import Progress, View
from unlabeled.nn.clock import after_step
from unlabeled.testing.subject import ensure

Floor = float | Callable[[Mapping[str, float]], float]  # of a part, or from all parts of a step
NEAR = 0.95  # of its floor: a batch is small


def nothing_in_noise(
    encoder: Any,
    objective: Any,
    views_of: Callable[[int], Sequence[View]],
    floors: Mapping[str, Floor],
    *,
    steps: int = 40,
    lr: float = 3e-3,
) -> None:
    """Train on ``views_of(step)`` and ensure that no part of the loss, nor ``loss`` itself, falls below its floor.

    Of each the mean over the second half of the steps is asked.

    >>> nothing_in_noise(encoder, objective, lambda step: views, {"loss": 0.0}, steps=2)
    """
    optimizer = torch.optim.Adam([*encoder.parameters(), *objective.parameters()], lr=lr)
    found: dict[str, list[tuple[float, float]]] = {part: [] for part in floors}
    for step in range(steps):
        loss = objective(encoder, views_of(step))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        after_step(objective, encoder, Progress(step + 1, steps))
        parts = {"loss": float(loss.total.detach()), **{name: float(value) for name, value in loss.parts.items()}}
        for part, floor in floors.items():
            found[part].append((parts[part], floor(parts) if callable(floor) else floor))
    for part, pairs in found.items():
        value, least = torch.tensor(pairs[steps // 2 :]).mean(0).tolist()
        ensure(value > NEAR * least, f"{part} stays above what noise allows, {least:.4f}", value)


def nothing_in_noise_of_a_recipe(
    parts: Parts, noise: Callable[[Any, torch.Generator], Any], floors: Mapping[str, Floor], **how: Any
) -> None:
    """The same of a recipe, with ``noise(batch, generator)`` in place of the batch of each of its views.

    The views are made first, so that roles, sizes and parameters are the recipe's; then layout, tokens and mask.
    """
    generator = torch.Generator().manual_seed(0)
    made = parts.views

    class Noisy:
        def __getattr__(self, name: str) -> Any:
            return getattr(made, name)

        def __call__(self, batch: Any, draw: Any) -> list[View]:
            return [replace(view, batch=noise(view.batch, generator)) for view in made(batch, draw)]

    noisy = replace(parts, views=Noisy())
    batch = parts.data.__getitems__(list(range(min(len(parts.data), parts.config.training.batch_size or 10**9))))
    parts.encoder.train()
    parts.objective.train()
    nothing_in_noise(parts.encoder, parts.objective, lambda step: noisy.step_views(batch, step), floors, **how)
