"""Boxes and what becomes of affines, by values that say where they were."""

import pytest
import torch
from monai.transforms import SpatialCrop

from unlabeled.draw import Draw
from unlabeled_medical3d.views.crops import (
    around,
    box_affine,
    cut,
    mirror_,
    overlap,
    overlapping,
    random_boxes,
    tilt,
    turn_,
)


def place(shape):
    """A volume whose three channels are the voxel's own x, y and z."""
    return torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in shape), indexing="ij"))


def world(affine, shape):
    index = place(shape).flatten(1).double()
    return (affine[:3, :3] @ index + affine[:3, 3:]).reshape(3, *shape)


@pytest.fixture
def draw():
    return Draw(3, 1, torch.arange(40))


def test_a_cut_equals_monais_crop():
    x = torch.rand(2, 9, 8, 7)
    found = cut([x], torch.tensor([[2, 1, 0, 4, 5, 6]]), (4, 5, 6))
    assert torch.equal(found[0], SpatialCrop(roi_start=(2, 1, 0), roi_end=(6, 6, 6))(x).as_tensor())


def test_beyond_the_volume_lies_its_lowest_value():
    x = torch.rand(1, 4, 4, 4) + 1
    found = cut([x], torch.tensor([[-2, 0, 2, 8, 4, 4]]), (8, 4, 4))
    assert torch.equal(found[0, :, 2:6, :, :2], x[..., 2:])
    assert (found[0, :, :2] == x.min()).all()
    assert (found[0, :, 2:6, :, 2:] == x.min()).all()


def test_the_affine_of_a_cut_says_where_each_voxel_was():
    shape = (10, 12, 8)
    box = torch.tensor([[3, 2, 1, 4, 6, 5]])
    affine = torch.diag(torch.tensor([1.5, 2.0, 3.0, 1.0], dtype=torch.float64))[None]
    affine[0, :3, 3] = torch.tensor([7.0, -3.0, 1.0])
    source = world(affine[0], shape).float()
    found = cut([source], box, (4, 6, 5))[0]
    torch.testing.assert_close(found, world(box_affine(affine, box, (4, 6, 5))[0], (4, 6, 5)).float())
    found = cut([source], box, (8, 3, 5))[0]  # resized: at the edges there is no voxel to interpolate with
    expected = world(box_affine(affine, box, (8, 3, 5))[0], (8, 3, 5)).float()
    torch.testing.assert_close(found[:, 1:-1], expected[:, 1:-1])


def test_mirrors_and_turns_keep_places_in_the_world():
    shape = (6, 6, 6)
    affine = torch.eye(4, dtype=torch.float64).repeat(8, 1, 1)
    affine[:, :3, 3] = torch.tensor([1.0, 2.0, 3.0])
    images = torch.stack([world(affine[0], shape).float()] * 8)
    flips = torch.cartesian_prod(*[torch.tensor([False, True])] * 3)
    affine = mirror_(images, affine, flips)
    for axis in range(3):
        affine = turn_(images, affine, torch.arange(8) % 4, axis)
    for image, one in zip(images, affine):
        torch.testing.assert_close(image, world(one, shape).float())
    assert torch.linalg.det(affine[0, :3, :3]) > 0  # not mirrored
    assert torch.linalg.det(affine[1, :3, :3]) < 0


def test_a_tilt_keeps_places_and_turns_the_body_not_the_voxels():
    affine = torch.diag(torch.tensor([1.0, 1.5, 3.0, 1.0], dtype=torch.float64)).repeat(3, 1, 1)
    images = world(affine[0], (21, 17, 11)).float().repeat(3, 1, 1, 1, 1)
    degrees = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 12.0], [8.0, -5.0, 3.0]])
    turned, after = tilt(images, affine, degrees)
    torch.testing.assert_close(turned[0], images[0], atol=1e-4, rtol=1e-4)
    for image, one in zip(turned, after):
        expected = world(one, (21, 17, 11)).float()
        torch.testing.assert_close(image[:, 5:-5, 5:-5, 4:-4], expected[:, 5:-5, 5:-5, 4:-4], atol=1e-3, rtol=1e-4)
        axes = one[:3, :3]
        torch.testing.assert_close(axes.T @ axes, torch.diag(torch.tensor([1.0, 2.25, 9.0], dtype=torch.float64)))


def test_a_turn_needs_equal_sides():
    with pytest.raises(ValueError, match="equal sides"):
        turn_(torch.zeros(1, 1, 4, 4, 6), torch.eye(4)[None], torch.tensor([1]), 0)


def test_random_boxes_lie_inside_and_reach_everywhere(draw):
    sizes = torch.tensor([[20, 16, 9]]).expand(40, 3)
    extent = torch.tensor([8, 8, 8]).expand(40, 3)
    boxes = random_boxes(draw, sizes, extent, None, 0.0)
    assert (boxes[:, :3] >= 0).all()
    assert (boxes[:, :3] + 8 <= sizes).all()
    assert boxes[:, 2].unique().tolist() == [0, 1]
    assert len(boxes[:, 0].unique()) > 8


def test_a_volume_smaller_than_the_box_lies_in_its_middle(draw):
    sizes = torch.tensor([[4, 20, 20]]).expand(40, 3)
    boxes = random_boxes(draw, sizes, torch.tensor([8, 8, 8]).expand(40, 3), None, 0.0)
    assert (boxes[:, 0] == -2).all()
    assert around(torch.tensor([[2, 19, 0]]), torch.tensor([[8, 8, 8]]), sizes[:1]).tolist() == [[-2, 12, 0, 8, 8, 8]]


def test_crops_around_the_foreground_hold_it(draw):
    sizes = torch.tensor([[40, 40, 40]]).expand(40, 3)
    points = torch.tensor([30, 5, 20]).expand(40, 7, 3)
    extent = torch.tensor([8, 8, 8]).expand(40, 3)
    boxes = random_boxes(draw, sizes, extent, points, 1.0)
    inside = (points[:, 0] >= boxes[:, :3]) & (points[:, 0] < boxes[:, :3] + 8)
    assert inside.all()
    assert len(boxes[:, 0].unique()) > 2  # not always in the middle
    some = random_boxes(draw, sizes, extent, points, 0.5)
    held = ((points[:, 0] >= some[:, :3]) & (points[:, 0] < some[:, :3] + 8)).all(1).float().mean()
    assert 0.3 < held < 0.75


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_overlap_is_at_least_what_was_asked(draw, share):
    sizes = torch.tensor([[30, 24, 20]]).expand(40, 3)
    first = random_boxes(draw, sizes, torch.tensor([12, 12, 12]).expand(40, 3), None, 0.0)
    second = overlapping(draw.at(1), first, sizes, share)
    shared = overlap(first, second) / 12**3
    assert (shared >= share - 1e-6).all()
    assert (second[:, :3] >= 0).all()
    assert (second[:, :3] + 12 <= sizes).all()
    if share == 1:
        assert torch.equal(first, second)
    elif share:
        assert shared.min() < share + 0.35


def test_overlap_counts_voxels():
    a = torch.tensor([[0, 0, 0, 4, 4, 4]])
    b = torch.tensor([[2, 1, -1, 4, 4, 4], [4, 0, 0, 4, 4, 4]])
    assert overlap(a, b).tolist() == [2 * 3 * 3, 0]
