"""Segmentation with a frozen encoder."""

from types import SimpleNamespace

import pytest
import torch

from unlabeled.probes.frozen import Frozen
from unlabeled_medical3d.baselines import IntensityHistogram, RawPatches
from unlabeled_medical3d.data.phantoms import Phantoms
from unlabeled_medical3d.encoders.vit import ViT3D
from unlabeled_medical3d.probes.voxels import VoxelProbe
from unlabeled_medical3d.views.standard import Clean


@pytest.fixture(scope="module")
def data():
    return Phantoms(None, count=12, size=(16,), spacing=(5.0,))


def frozen(data, encoder):
    return Frozen(encoder, "pre-trained", data, Clean(data.spec), torch.arange(9), torch.arange(9, 12))


@pytest.mark.parametrize("head", ["linear", "light"])
def test_scores_are_found_and_repeat(data, head):
    torch.manual_seed(0)
    encoder = ViT3D(data.spec, patch=(4,), width=24, depth=1, heads=2)
    before = [p.clone() for p in encoder.parameters()]
    probe = VoxelProbe(head=head, volumes=4, steps=20)
    first = probe(frozen(data, encoder))
    torch.manual_seed(9)
    assert probe(frozen(data, encoder)) == first
    assert set(first) == {"dice", "hd95", "surface_dice"}
    assert 0.0 <= first["dice"] <= 1.0
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))


def test_more_steps_fit_better(data):
    few, many = (VoxelProbe(volumes=8, steps=n)(frozen(data, RawPatches(data.spec, patch=4)))["dice"] for n in (1, 60))
    assert many > few + 0.05


def test_what_describes_whole_volumes_has_no_say(data):
    assert VoxelProbe()(frozen(data, IntensityHistogram(data.spec))) == {}


def test_it_applies_to_voxel_labels_alone(data):
    assert VoxelProbe().applies(data)
    assert not VoxelProbe().applies(SimpleNamespace(regions=()))
    assert not VoxelProbe().applies(SimpleNamespace())
