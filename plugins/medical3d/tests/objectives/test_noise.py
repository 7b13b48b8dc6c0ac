"""On white noise that no two views share, no loss falls below what can be had without looking at a view.

Not asked: I-JEPA and data2vec, whose targets are learned and may become even; ``regions``, whose clusters are of
places; global_local's local term, whose regions an encoder with position embeddings tells by their place. Its global
term and joint_image_volume are asked in their own files.
"""

import math
from functools import partial

import pytest
import torch

from unlabeled.build import make
from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.masks.random import RandomMask
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.decoders.rows import TransformerDecoder
from unlabeled_medical3d.encoders.vit import ViT3D
from unlabeled_medical3d.ops.grids import cubes, gradient_magnitude

SPEC, COUNT, STEPS = VolumeSpec(1, (8, 8, 8)), 8, 40
NORMAL = torch.randn(64, 1, 8, 8, 8, generator=torch.Generator().manual_seed(9))
EDGE = float(gradient_magnitude(NORMAL).var())


def position_loss(overlaps):
    """VoCo's loss of the best constant logits, one for each base crop."""
    guess = torch.linspace(0, 1, 101)[:, None, None]
    losses = -(1 - (overlaps - guess).abs()).clamp(min=1e-6).log()
    return float(losses.mean(1).min(0).values.mean())


# of each objective: its settings, the number of views, whether they hide rows, and each part's least value
CASES = {
    "mae": ({"norm_pix": False}, 1, True, {"loss": 1.0}),
    "simmim": ({}, 1, True, {"loss": math.sqrt(2 / math.pi)}),
    "uni4eye": ({}, 1, True, {"intensity": 1.0, "gradient": EDGE}),
    "simclr": ({"projector": (16, 8)}, 2, False, {"loss": math.log(2 * COUNT - 1)}),
    "voco": ({"projector": (16, 8), "regularizer": 0.0}, 0, False, {"prediction": None}),
}


def views_of(encoder, name, count, hide, generator):
    def view(role, **params):
        images = torch.randn(COUNT, 1, *SPEC.size, generator=generator)
        batch = VolumeBatch(torch.arange(COUNT), images, torch.eye(4, dtype=torch.float64).expand(COUNT, 4, 4))
        layout = encoder.layout(batch)
        made = View(batch, role, layout, content=cubes(images, layout.grid), params=params)
        seed = int(torch.randint(1 << 30, (1,), generator=generator))
        return RandomMask(ratio=0.5)(made, Draw(seed, 0, batch.ids)) if hide else made

    if name != "voco":
        return [view("global") for _ in range(count)]
    overlaps = torch.rand(COUNT, 3, generator=generator)
    return [*(view("base") for _ in range(3)), view("global", overlap=overlaps / overlaps.sum(1, keepdim=True))]


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_learned_from_noise_of_its_own_in_every_view(name):
    settings, count, hide, floors = CASES[name]
    torch.manual_seed(0)
    encoder = ViT3D(SPEC, patch=(4,), width=12, depth=1, heads=2)
    wired = {"encoder": encoder, "decoder": partial(TransformerDecoder, decoder_width=12, depth=1, heads=2)}
    objective = make("medical3d", "objective", name, settings, {**wired, "content": 64})
    optimizer = torch.optim.Adam([*encoder.parameters(), *objective.parameters()], lr=3e-3)
    generator, last, overlaps = torch.Generator().manual_seed(0), {part: [] for part in floors}, []
    for step in range(STEPS):
        views = views_of(encoder, name, count, hide, generator)
        found = objective(encoder, views)
        optimizer.zero_grad()
        found.total.backward()
        optimizer.step()
        if step >= STEPS // 2:
            overlaps += [view.params["overlap"] for view in views if view.role == "global" and view.params]
            for part, values in last.items():
                values.append(float(found.total.detach() if part == "loss" else found.parts[part]))
    for part, floor in floors.items():
        least = position_loss(torch.cat(overlaps)) if floor is None else floor
        assert sum(last[part]) / len(last[part]) > 0.95 * least, part
