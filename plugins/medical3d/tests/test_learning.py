"""Every recipe learns on the phantoms, as it stands: no setting is changed but the length of the run.

Recipes that restore voxels or paint classes are judged by their own task on the held-out quarter of the volumes, which
training never sees: they do better than the best constant, which is all that can be had without looking at a volume.
The others are judged by frozen features: the class of held-out phantoms by kNN, or their organs by a linear head on
rows, more often right than with the untrained encoder.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unlabeled.build import Parts, build
from unlabeled.config import resolve
from unlabeled.contract import Loss, View
from unlabeled.probes.embedding import embed
from unlabeled.probes.frozen import Frozen
from unlabeled.probes.knn import knn_accuracy
from unlabeled.recipes import load_recipe, recipe_files
from unlabeled.testing.learning import pretrain
from unlabeled_medical3d.probes.voxels import VoxelProbe
from unlabeled_medical3d.views import Clean

STEPS, MASKED_STEPS = 60, 250  # painting voxels from a quarter of them takes longer
RESTORED = ("mae", "models_genesis", "uni4eye")  # mean squared error of intensities
PAINTED = ("regions", "volume_fusion")  # cross-entropy of classes


def parts_of(name: str) -> Parts:
    torch.manual_seed(0)
    return build(resolve(load_recipe("medical3d", name), "medical3d"))


def sides(parts: Parts) -> tuple[torch.Tensor, torch.Tensor]:
    """The volumes of training and the held-out ones."""
    held: Any = parts.data.test
    return torch.nonzero(~held)[:, 0], torch.nonzero(held)[:, 0]


def features(parts: Parts) -> tuple[float, float]:
    """kNN accuracy of the class, and Dice of a linear head on frozen rows, of the held-out volumes."""
    train, test = sides(parts)
    clean = Clean(parts.data.spec)
    found = embed(parts.encoder, parts.data, clean, batch_size=16)
    assert found.y is not None
    accuracy = knn_accuracy(found.x[train], found.y[train], found.x[test], found.y[test], k=5)
    frozen = Frozen(parts.encoder, "encoder", parts.data, clean, train, test, batch_size=16)
    return accuracy, VoxelProbe(volumes=12, test=12, steps=80)(frozen)["dice"]


def train(parts: Parts) -> None:
    pretrain(parts, sides(parts)[0], STEPS if parts.mask is None else MASKED_STEPS)


def own_task(parts: Parts) -> tuple[Loss, list[View]]:
    """The loss on held-out volumes, and their views."""
    parts.encoder.eval()
    parts.objective.eval()
    views = parts.prepare(parts.data.__getitems__(sides(parts)[1].tolist()), 0, 10_000)
    with torch.no_grad():
        return parts.objective(parts.encoder, views), views


@pytest.mark.slow
@pytest.mark.parametrize("name", RESTORED)
def test_voxels_are_restored_better_than_by_their_mean(name: str) -> None:
    parts = parts_of(name)
    train(parts)
    loss, views = own_task(parts)
    error, constant = float(loss.parts.get("intensity", loss.total)), float(views[-1].batch.images.var())
    print(f"LEARN {name}: {error:.4f}, constant {constant:.4f}")
    assert error < 0.7 * constant


@pytest.mark.slow
@pytest.mark.parametrize("name", PAINTED)
def test_classes_are_painted_better_than_by_their_shares(name: str) -> None:
    parts = parts_of(name)
    train(parts)
    loss, views = own_task(parts)
    objective: Any = parts.objective
    if name == "regions":
        classes = objective.regions_of(views[1])
    else:
        classes = views[1].batch.images.mul(objective.classes - 1).round().long()
    shares = torch.bincount(classes.flatten()) / classes.numel()
    constant = float(-torch.special.xlogy(shares, shares).sum())
    print(f"LEARN {name}: {float(loss.parts['cross_entropy']):.4f}, constant {constant:.4f}")
    assert float(loss.parts["cross_entropy"]) < 0.95 * constant


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in recipe_files("medical3d") if name not in (*RESTORED, *PAINTED)])
def test_frozen_features_get_better(name: str) -> None:
    parts = parts_of(name)
    before = features(parts)
    train(parts)
    after = features(parts)
    print(f"LEARN {name}: kNN {before[0]:.3f} to {after[0]:.3f}, Dice {before[1]:.3f} to {after[1]:.3f}")
    assert after[0] > before[0] + 0.05 or after[1] > before[1] + 0.02
