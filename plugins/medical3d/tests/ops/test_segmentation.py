"""Heads, windows that slide, and scores in mm."""

import pytest
import torch
from monai.losses import DiceLoss
from monai.metrics import compute_dice

from unlabeled.errors import UsageError
from unlabeled_medical3d.batch import VolumeSpec
from unlabeled_medical3d.encoders.cnn import UNet
from unlabeled_medical3d.encoders.vit import ViT3D
from unlabeled_medical3d.ops.segmentation import (
    Segmenter,
    cut_labels,
    mean_scores,
    merged_regions,
    region_scores,
    segmentation_loss,
    slide,
    voxel_scores,
)

SPEC = VolumeSpec(2, (16, 16, 24))


def box(shift=0, size=(20, 20, 20)):
    mask = torch.zeros(size, dtype=torch.int64)
    mask[5 + shift : 11 + shift, 5:11, 5:11] = 1
    return mask


def test_a_shift_of_two_voxels_is_its_length_in_mm():
    found = voxel_scores(box(2), box(), (1.5, 1.0, 1.0), 2, tolerance=3.0)
    assert found["hd95"] == pytest.approx(3.0)
    assert found["dice"] == pytest.approx(4 / 6)
    assert found["surface_dice"] == 1.0
    assert voxel_scores(box(2), box(), (1.5, 1.0, 1.0), 2, tolerance=1.0)["surface_dice"] < 1.0


def test_a_volume_against_itself_is_perfect():
    assert voxel_scores(box(), box(), (1.0, 1.0, 1.0), 2) == {"dice": 1.0, "hd95": 0.0, "surface_dice": 1.0}


def test_dice_is_monais_over_labels():
    torch.manual_seed(0)
    a, b = torch.randint(0, 3, (2, 6, 7, 8)).unbind()
    one_hot = [torch.nn.functional.one_hot(x, 3).movedim(-1, 0)[None].float() for x in (a, b)]
    expected = compute_dice(*one_hot, include_background=False).mean()
    assert voxel_scores(a, b, (1.0, 1.0, 1.0), 3)["dice"] == pytest.approx(expected.item(), rel=1e-6)


def test_a_missed_label_costs_the_diagonal_and_an_absent_one_nothing():
    found = voxel_scores(torch.zeros_like(box()), box(), (1.0, 2.0, 2.0), 3)
    assert found == {"dice": 0.0, "hd95": pytest.approx(60.0), "surface_dice": 0.0}
    assert voxel_scores(torch.zeros(4, 4, 4), torch.zeros(4, 4, 4), (1.0, 1.0, 1.0), 3) == {}
    assert mean_scores([{}, {"dice": 0.5}, {"dice": 1.0}]) == {"dice": 0.75}


def test_labels_that_are_merged_count_as_one():
    true = box() + (box(6) > 0) * 2
    guess = torch.where(true > 0, 3 - true, 0)  # each label taken for the other
    regions = merged_regions(("whole=1+two",), ("background", "one", "two"))
    assert regions == {"whole": (1, 2)}
    found = region_scores(guess, true, (1.0, 1.0, 1.0), {"one": (1,), "none": (3,), **regions}, 1.0)
    assert (found["one"]["dice"], found["whole"]["dice"], found["whole"]["hd95"]) == (0.0, 1.0, 0.0)
    assert "none" not in found
    for wrong in ("whole", "whole=1+3", "whole=0+1", "=1+2", "one=1+2"):
        with pytest.raises(UsageError, match=r"NAME=LABEL\+LABEL.*1 one, 2 two"):
            merged_regions((wrong,), ("background", "one", "two"))


def test_windows_put_together_give_the_volume_back():
    image = torch.randn(1, 21, 17, 30)
    out = slide(lambda x: x.repeat(1, 2, 1, 1, 1), image, (16, 16, 24), overlap=0.5)
    torch.testing.assert_close(out, image.repeat(2, 1, 1, 1), rtol=1e-5, atol=1e-6)
    small = slide(lambda x: x, image[:, :9, :9, :9], (16, 16, 24))
    torch.testing.assert_close(small, image[:, :9, :9, :9], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="overlap is 1"):
        slide(lambda x: x, image, (16, 16, 24), overlap=1.0)


def test_labels_of_a_box_are_nearest_and_empty_beyond():
    mask = torch.arange(4 * 4 * 4).reshape(4, 4, 4)
    assert torch.equal(cut_labels(mask, (1, 0, 2, 2, 4, 2), (2, 4, 2)), mask[1:3, :, 2:4])
    beyond = cut_labels(mask + 1, (-1, 2, 0, 4, 4, 4), (4, 4, 4))
    assert beyond[0].abs().sum() == 0
    assert beyond[:, 2:].abs().sum() == 0
    assert torch.equal(beyond[1:, :2], (mask + 1)[:3, 2:])
    halved = cut_labels(mask, (0, 0, 0, 4, 4, 4), (2, 4, 4))
    assert torch.equal(halved, mask[[0, 2]]) or torch.equal(halved, mask[[1, 3]])


@pytest.mark.parametrize("kind", ["linear", "light"])
@pytest.mark.parametrize("encoder", [ViT3D, UNet])
def test_any_encoder_can_be_segmented_with(kind, encoder):
    torch.manual_seed(0)
    model = Segmenter(encoder(SPEC), SPEC, 3, kind)
    logits = model(torch.randn(2, 2, *SPEC.size))
    assert logits.shape == (2, 3, *SPEC.size)
    segmentation_loss(logits, torch.randint(0, 3, (2, *SPEC.size))).backward()
    assert all(p.grad is not None for p in model.head.parameters())


def test_the_linear_head_speaks_of_its_own_cube_alone():
    torch.manual_seed(0)
    spec = VolumeSpec(1, (8, 8, 8))
    model = Segmenter(ViT3D(spec, patch=(4,), width=12, depth=1, heads=2), spec, 2, "linear")
    layout = model.encoder.layout(type("B", (), {"images": torch.zeros(1, 1, 8, 8, 8)}))
    rows = torch.zeros(8, 12)
    rows[5] = 1.0  # cell (1, 0, 1)
    changed = (model.head(rows, layout, None) - model.head(torch.zeros(8, 12), layout, None)).abs().sum(1)[0] > 0
    assert changed[4:, :4, 4:].all()
    assert int(changed.sum()) == 64


def test_the_loss_is_cross_entropy_and_dice_of_the_batch():
    torch.manual_seed(0)
    logits, y = torch.randn(2, 3, 4, 4, 4), torch.randint(0, 3, (2, 4, 4, 4))
    dice = DiceLoss(
        softmax=True, to_onehot_y=True, include_background=False, batch=True, smooth_nr=1, smooth_dr=1
    )(logits, y[:, None])  # fmt: skip
    expected = torch.nn.functional.cross_entropy(logits, y) + dice
    torch.testing.assert_close(segmentation_loss(logits, y), expected)
