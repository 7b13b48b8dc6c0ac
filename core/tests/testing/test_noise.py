"""On noise that no two views share nothing is learned, by contrast, by clusters or by masks; and a leak is found."""

import math
from dataclasses import replace

import pytest
import torch

from unlabeled.build import make
from unlabeled.objectives.simmim import SimMIM
from unlabeled.testing.noise import nothing_in_noise
from unlabeled.testing.toys import ToyDecoder, ToyEncoder, toy_batch, toy_hide, toy_views

COUNT, HEAD = 8, {"projector": (12, 6)}
NT_XENT, ABSOLUTE = math.log(2 * COUNT - 1), math.sqrt(2 / math.pi)
CASES = {
    "simclr": (HEAD, 2, {"loss": NT_XENT}),
    "grace": ({"hidden": 12, "dim": 6}, 2, {"loss": NT_XENT}),
    "cola": ({"width": 6}, 2, {"loss": math.log(COUNT)}),
    "icon": (HEAD, 2, {"loss": NT_XENT}),
    "nnclr": ({"projector": (12, 12, 6), "predictor": 12, "queue": 20}, 2, {"loss": math.log(COUNT)}),
    "swav": ({"hidden": 16, "dim": 6, "prototypes": 10, "freeze": 0}, 2, {"loss": math.log(10)}),
    "mae": ({"norm_pix": False}, 1, {"loss": 1.0}),
    "simmim": ({}, 1, {"loss": ABSOLUTE}),
    "graphmae": ({"power": 2.0}, 1, {"loss": 1.0}),
    "hubert": ({"width": 8}, 1, {"loss": math.log(4)}),
}


def noise_views(encoder, count, hide, step):
    views = []
    for number in range(count):
        batch = toy_batch(range(COUNT), seed=1000 * step + number)
        (view,) = toy_views(batch, ("global",), encoder, noise=0.0)
        ids = (view.content[:, :2] > 0).long() @ torch.tensor([1, 2])  # four ids, equally likely
        views.append(replace(toy_hide(view, 6, step) if hide else view, ids=ids))
    return views


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_learned_from_noise(name):
    settings, count, floors = CASES[name]
    torch.manual_seed(0)
    encoder = ToyEncoder()
    wired = {"encoder": encoder, "decoder": ToyDecoder, "content": 4, "vocabulary": 4, "samples": COUNT}
    objective = make("core", "objective", name, settings, wired)
    nothing_in_noise(encoder, objective, lambda step: noise_views(encoder, count, count == 1, step), floors)


def test_a_mask_that_hides_nothing_is_found():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = SimMIM(encoder, 4)

    def shown(step):
        (view,) = noise_views(encoder, 1, True, step)
        return [replace(view, hidden=None, predict=(view.hidden,))]

    with pytest.raises(AssertionError, match="loss stays above what noise allows"):
        nothing_in_noise(encoder, objective, shown, {"loss": ABSOLUTE}, steps=60, lr=1e-2)


def test_a_view_that_is_shared_is_found():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = make("core", "objective", "simclr", HEAD, {"encoder": encoder})

    def shared(step):
        (view,) = noise_views(encoder, 1, False, step)
        return [view, view]

    with pytest.raises(AssertionError, match="loss stays above what noise allows"):
        nothing_in_noise(encoder, objective, shared, {"loss": NT_XENT})
