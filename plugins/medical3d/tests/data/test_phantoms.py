"""Batches, the spec, phantoms and the memory of volumes."""

import pickle

import pytest
import torch

from unlabeled_medical3d.batch import Volume, VolumeBatch, VolumeSpec
from unlabeled_medical3d.data.cache import Memory
from unlabeled_medical3d.data.phantoms import KINDS, Phantoms


def test_spec_takes_millimeters():
    spec = VolumeSpec(1, [32, 32, 16], [1.0, 1.0, 2.5])
    assert spec.size == (32, 32, 16)
    assert spec.voxels((10.0,)) == (10, 10, 4)
    assert spec.voxels((0.1, 5.0, 5.0)) == (1, 5, 2)


@pytest.mark.parametrize(
    "wrong", [{"size": (8, 8)}, {"size": (0, 8, 8)}, {"spacing": (1.0, 0.0, 1.0)}, {"channels": 0}]
)
def test_spec_refuses_what_is_no_volume(wrong):
    with pytest.raises(ValueError, match="numbers"):
        VolumeSpec(**wrong)


def test_batch_is_cut_moved_and_sent():
    images = [torch.rand(1, 8, 8, n) for n in (6, 7, 7)]
    batch = VolumeBatch(torch.arange(3), images, torch.eye(4).repeat(3, 1, 1), torch.zeros(3, 5, 3).long())
    assert len(batch) == 3
    part = batch[1:3]
    assert isinstance(part.images, torch.Tensor)  # of one size: as if it had been loaded alone
    assert part.ids.tolist() == [1, 2]
    again = pickle.loads(pickle.dumps(batch.to("cpu")))  # noqa: S301 - as a worker sends it
    assert torch.equal(again.images[0], images[0])
    assert again.foreground.shape == (3, 5, 3)


def test_phantoms_are_generated_alike_and_labeled():
    one, two = Phantoms(None, count=6), Phantoms(None, count=6)
    a, b = one.__getitems__([4, 1]), two.__getitems__([1, 4])
    assert torch.equal(a.images[0], b.images[1])
    assert one.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert len(one.classes) == len(KINDS)
    mask, image = one.masks([4])[0], a.images[0]
    assert mask.shape == image.shape[1:]
    assert set(mask.unique().tolist()) == {0, 1, 2, 3, 4}
    liver, spine = image[0][mask == 1], image[0][mask == 4]
    assert spine.mean() > liver.mean() > -0.5
    assert a.affine[0, :3, :3].diagonal().tolist() == pytest.approx([2.5] * 3)  # RAS, at the spacing


def test_kinds_of_phantoms_differ_as_they_say():
    data = Phantoms(None, count=30)
    masks = data.masks(range(30))
    liver = torch.tensor([float((m == 1).sum()) for m in masks])
    assert liver[data.labels == 1].mean() > 1.8 * liver[data.labels == 0].mean()
    assert all(((m == 2).sum() == 0) == (kind == 2) for m, kind in zip(masks, data.labels.tolist()))


def test_phantoms_refuse_a_path_and_wrong_numbers():
    with pytest.raises(ValueError, match="read no files; found scans"):
        Phantoms("scans")
    with pytest.raises(ValueError, match="count 2"):
        Phantoms(None, count=2)


def test_memory_lets_go_of_what_was_not_used_for_longest():
    def volume():
        return Volume(torch.zeros(1, 64, 64, 64), torch.eye(4), torch.zeros(1, 3).long())

    memory = Memory(2)  # MiB: one volume of 1 MiB and a little, not two
    memory.put(0, volume())
    memory.put(1, volume())
    assert memory.get(0) is None
    assert memory.get(1) is not None
    Memory(0).put(0, volume())
