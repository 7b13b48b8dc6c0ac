"""Views: what overlaps, what is aligned, and affines that say where every voxel lies."""

import math

import pytest
import torch

from unlabeled.draw import Draw
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.views.crops import overlap
from unlabeled_medical3d.views.restoring import Genesis, SwinPretext
from unlabeled_medical3d.views.standard import Clean, MultiCrop, Plain, SimCLR

SPEC = VolumeSpec(3, (8, 8, 8), (1.0, 1.0, 2.0))
COUNT = 12
STILL = {"noise": 0.0, "blur": 0.0, "brightness": 0.0, "contrast": 0.0, "lowres": 0.0, "gamma": 0.0, "bias": 0.0}


@pytest.fixture
def batch():
    """Volumes whose three channels are the world coordinates of each voxel."""
    images, affines = [], []
    for n in range(COUNT):
        shape = (14 + n % 3, 12, 16)
        affine = torch.diag(torch.tensor([1.0, 1.0, 2.0, 1.0], dtype=torch.float64))
        affine[:3, 3] = torch.tensor([-5.0, 3.0, float(n)])
        images.append(world(affine, shape))
        affines.append(affine)
    points = torch.randint(3, 9, (COUNT, 20, 3), generator=torch.Generator().manual_seed(0))
    return VolumeBatch(torch.arange(COUNT), images, torch.stack(affines), points)


@pytest.fixture
def draw():
    return Draw(2, 1, torch.arange(COUNT))


def world(affine, shape):
    index = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in shape), indexing="ij")).flatten(1).double()
    return (affine[:3, :3] @ index + affine[:3, 3:]).reshape(3, *shape).float()


def true_affines(view):
    return all(
        torch.allclose(image, world(affine, image.shape[1:]), atol=1e-3)
        for image, affine in zip(view.batch.images, view.batch.affine)
    )


def test_simclr_views_overlap_as_they_say_in_voxels_and_mm(batch, draw):
    views = SimCLR(SPEC, overlap=0.5, turn=1.0, **STILL)(batch, draw)
    assert [v.role for v in views] == ["global", "global"]
    shared = overlap(views[0].params["box"], views[1].params["box"])
    torch.testing.assert_close(views[0].params["overlap"], shared / 8**3)
    torch.testing.assert_close(views[0].params["overlap_mm3"], shared * 2.0)
    assert (shared / 8**3 >= 0.5).all()
    assert all(true_affines(v) for v in views)
    assert views[0].params["flip"].any()
    assert views[0].params["turns"].unique().tolist() == [0, 1, 2, 3]


def test_aligned_views_show_the_same_voxels(batch, draw):
    a, b = SimCLR(SPEC, aligned=True, **STILL)(batch, draw)
    assert torch.equal(a.batch.images, b.batch.images)
    a, b = SimCLR(SPEC, aligned=True, noise=1.0)(batch, draw)
    assert torch.equal(a.batch.affine, b.batch.affine)
    assert not torch.equal(a.batch.images, b.batch.images)


def test_tilted_views_say_how_far_and_where_they_lie(batch, draw):
    view = SimCLR(SPEC, tilt=20.0, **STILL)(batch, draw)[0]
    assert view.params["tilt"].abs().max() <= 20
    middle = slice(3, 5)
    for image, affine in zip(view.batch.images, view.batch.affine):
        expected = world(affine, image.shape[1:])
        torch.testing.assert_close(
            image[:, middle, middle, middle], expected[:, middle, middle, middle], atol=1e-2, rtol=0
        )


def test_extent_in_mm_is_resized_to_the_view(batch, draw):
    (view,) = Plain(SPEC, extent=(12.0,), flip=0.0)(batch, draw)
    assert view.params["box"][:, 3:].unique(dim=0).tolist() == [[12, 12, 6]]
    sides = view.batch.affine[:, :3, :3].diagonal(dim1=1, dim2=2)[0] * 8
    assert sides.tolist() == pytest.approx([12.0] * 3)  # a cube of 12 mm, whatever the voxels
    scaled = Plain(SPEC, scale=(0.5, 1.0))(batch, draw)[0].params["box"][:, 3]
    assert scaled.min() >= 4
    assert len(scaled.unique()) > 2


def test_multicrop_makes_smaller_local_views(batch, draw):
    views = MultiCrop(SPEC, locals=3, share=0.5)(batch, draw)
    assert [v.role for v in views] == ["global"] * 2 + ["local"] * 3
    assert views[2].batch.images.shape[2:] == (4, 4, 4)
    assert not torch.equal(views[2].params["box"], views[3].params["box"])


def test_slices_are_views_of_one_slice_each_where_it_lay(batch, draw):
    whole, *slices = Plain(SPEC, slices=0.25)(batch, draw)
    assert [view.role for view in (whole, *slices)] == ["global"] * 3
    numbers = torch.stack([view.params["slice"] for view in slices])
    assert (numbers[0] != numbers[1]).all()
    for view in slices:
        assert true_affines(view)
        at = view.params["slice"][:, None, None, None, None].expand(-1, 3, 8, 8, 1)
        assert torch.equal(view.batch.images, whole.batch.images.gather(4, at))


def test_clean_is_around_the_foreground_or_the_whole(batch, draw):
    (view,) = Clean(SPEC)(batch, draw)
    assert true_affines(view)
    middle = batch.foreground.double().mean(1)
    assert ((view.params["box"][:, :3] + 4 - middle).abs() <= 1.01).all()
    (view,) = Clean(SPEC, whole=True)(batch, draw)
    assert view.params["box"][0].tolist() == [0, 0, 0, 14, 12, 16]
    volume = torch.linalg.det(view.batch.affine[0, :3, :3]) * math.prod(SPEC.size)
    assert float(volume) == pytest.approx(14 * 12 * 16 * 2)


def test_genesis_distorts_the_source_alone(batch, draw):
    source, target = Genesis(SPEC)(batch, draw)
    assert (source.role, target.role) == ("source", "target")
    assert true_affines(target)
    changed = (source.batch.images != target.batch.images).flatten(1).any(1)
    done = source.params["curve"] | source.params["shuffle"] | (source.params["paint"] > 0)
    assert torch.equal(changed, done)
    still = Genesis(SPEC, curve=0.0, shuffle=0.0, paint=0.0)(batch, draw)
    assert torch.equal(still[0].batch.images, still[1].batch.images)


def test_swin_targets_are_turned_and_uncut_and_the_inverse_turn_restores(batch, draw):
    views = SwinPretext(SPEC)(batch, draw)
    assert [v.role for v in views] == ["source", "source", "target", "target"]
    for source, target in zip(views[:2], views[2:]):
        assert true_affines(target)
        cut = (source.batch.images != target.batch.images).any(1).flatten(1).float().mean(1)
        torch.testing.assert_close(cut, source.params["cut"], atol=2e-3, rtol=0)
        plain = SwinPretext(SPEC, most=0.0)(batch, draw)[0] if source is views[0] else None
        if plain is not None:
            assert torch.equal(plain.batch.images, target.batch.images)
    turned, turns = views[2], views[2].params["rotation"]
    assert set(turns.tolist()) == {0, 1, 2, 3}
    for image, n in zip(turned.batch.images, turns.tolist()):
        back = torch.rot90(image, -n, (1, 2))
        assert (back[0].diff(dim=0) > 0).all()  # x rises along the first axis again
    assert torch.equal(views[2].params["box"], views[3].params["box"])


def test_rotation_labels_are_uniform():
    draw = Draw(0, 0, torch.arange(4000))
    batch = VolumeBatch(torch.arange(4000), torch.zeros(4000, 1, 2, 2, 2), torch.eye(4).double().repeat(4000, 1, 1))
    views = SwinPretext(VolumeSpec(1, (2, 2, 2)), most=0.0)(batch, draw)
    count = torch.bincount(views[0].params["rotation"]).float()
    assert ((count - 1000) ** 2 / 1000).sum() < 20  # chi-square of 3 degrees: once in 5,000


def test_volumes_that_cannot_be_turned_are_named():
    with pytest.raises(ValueError, match="no two equal sides"):
        SwinPretext(VolumeSpec(1, (8, 6, 4)))
