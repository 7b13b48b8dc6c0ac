"""Places: what a view says of its voxels' places is where the voxels were taken from."""

import torch

from unlabeled.draw import Draw
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.objectives.regions import places
from unlabeled_medical3d.views.places import PlaceViews, rotation, sample

SPEC = VolumeSpec(1, (8, 12, 8), (1.0, 2.0, 1.0))


def ramps(count=4, shape=(14, 18, 12)):
    """Volumes whose voxels hold their own mm from the middle, a channel an axis."""
    axes = [(torch.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, SPEC.spacing)]
    image = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    affine = torch.diag(torch.tensor([*SPEC.spacing, 1.0], dtype=torch.float64)).expand(count, 4, 4)
    return VolumeBatch(torch.arange(count), [image] * count, affine)


def test_places_are_those_the_voxels_were_taken_from():
    views = PlaceViews(SPEC, size=(6, 8, 6), tilt=10.0, stretch=0.1, reach=0.3)
    batch = ramps()
    source, target = views(batch, Draw(0, 0, batch.ids))
    found = places(target.params["from_center"], (6, 8, 6))
    torch.testing.assert_close(target.batch.images.double(), found, atol=1e-4, rtol=0)
    assert not torch.equal(source.batch.images, target.batch.images)
    assert torch.equal(source.batch.affine, target.batch.affine)
    assert found.mean((2, 3, 4)).abs().max() > 0.1  # crops are not all in the middle


def test_the_affine_says_the_same_of_the_world():
    batch = ramps()
    _, target = PlaceViews(SPEC, size=(6,))(batch, Draw(3, 1, batch.ids))
    middle = (torch.tensor(batch.images[0].shape[1:]) - 1) / 2 * torch.tensor(SPEC.spacing)
    world = places(target.batch.affine, (6, 6, 6)) - middle[:, None, None, None]
    torch.testing.assert_close(world, places(target.params["from_center"], (6, 6, 6)))


def test_nothing_moved_is_the_middle_itself():
    batch = ramps(shape=(8, 12, 8))
    _, target = PlaceViews(SPEC, tilt=0.0, stretch=0.0)(batch, Draw(0, 0, batch.ids))
    torch.testing.assert_close(target.batch.images, torch.stack(batch.images), atol=1e-5, rtol=0)


def test_turns_are_turns_and_edges_are_repeated():
    turn = rotation(torch.tensor([[0.0, 0.0, 90.0], [10.0, -5.0, 3.0]]))
    torch.testing.assert_close(turn @ turn.transpose(1, 2), torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    torch.testing.assert_close(turn[0] @ torch.tensor([1.0, 0, 0]).double(), torch.tensor([0.0, 1, 0]).double())
    beyond = sample([torch.arange(4.0).reshape(1, 4, 1, 1)], torch.eye(4)[None], (6, 1, 1))
    torch.testing.assert_close(beyond.flatten(), torch.tensor([0.0, 1.0, 2.0, 3.0, 3.0, 3.0]))
