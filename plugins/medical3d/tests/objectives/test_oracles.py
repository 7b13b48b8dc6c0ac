"""Losses of volumes against MONAI 1.6.1, or a transcription of their paper in plain loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from monai.losses import ContrastiveLoss, DiceLoss
from sklearn.cluster import KMeans

from unlabeled.nn.heads import unit
from unlabeled.nn.infonce import nt_xent
from unlabeled_medical3d.decoders.painter import class_losses
from unlabeled_medical3d.objectives.genesis import restoration_loss
from unlabeled_medical3d.objectives.global_local import region_loss, slab_loss
from unlabeled_medical3d.objectives.joint_image_volume import agreement_loss, masked_slice_loss
from unlabeled_medical3d.objectives.regions import k_means
from unlabeled_medical3d.objectives.spark import densify
from unlabeled_medical3d.objectives.swin_pretext import rotation_loss


def units(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.parametrize("temperature", [0.5, 0.1, 0.05])
def test_contrast_equals_monai(temperature):
    torch.manual_seed(0)
    a, b = torch.randn(8, 32, requires_grad=True), torch.randn(8, 32)
    ours = nt_xent(unit(a), unit(b), temperature)
    theirs = ContrastiveLoss(temperature=temperature)(a, b)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    gradients = [torch.autograd.grad(loss, a)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-7)


def test_contrast_is_finite_where_monai_is_not():
    torch.manual_seed(0)
    a, b = torch.randn(8, 32), torch.randn(8, 32)
    assert not torch.isfinite(ContrastiveLoss(temperature=0.01)(a, b))
    assert nt_xent(unit(a), unit(b), 0.01).item() == pytest.approx(37.0798, rel=1e-4)


def test_slab_loss_is_its_formula():
    z = units(2, 2, 3, 5)  # 2 volumes, 2 views, 3 slabs
    flat = z.reshape(-1, 5)
    slab = [n % 3 for n in range(len(flat))]
    terms = []
    for a in range(len(flat)):
        apart = sum(math.exp(float(flat[a] @ flat[k]) / 0.1) for k in range(len(flat)) if slab[k] != slab[a])
        for p in range(len(flat)):
            if p != a and slab[p] == slab[a]:
                near = math.exp(float(flat[a] @ flat[p]) / 0.1)
                terms.append(-math.log(near / (near + apart)))
    assert slab_loss(z, 0.1).item() == pytest.approx(sum(terms) / len(terms), rel=1e-4)


def test_region_loss_is_nt_xent_within_a_volume():
    first, second = units(3, 4, 6), units(3, 4, 6, seed=1)
    expected = torch.stack([nt_xent(a, b, 0.1) for a, b in zip(first, second, strict=True)])
    torch.testing.assert_close(region_loss(first, second, 0.1), expected, rtol=1e-5, atol=1e-6)


def test_losses_of_classes_are_cross_entropy_and_monais_dice():
    torch.manual_seed(0)
    logits, level = torch.randn(2, 30, 3), torch.randint(0, 3, (2, 30))
    entropy, dice = class_losses(logits, level)
    torch.testing.assert_close(entropy.mean(), F.cross_entropy(logits.flatten(0, 1), level.flatten()))
    monai = DiceLoss(softmax=True, to_onehot_y=True, smooth_nr=0, smooth_dr=0, reduction="mean")
    torch.testing.assert_close(dice.mean(), monai(logits.transpose(1, 2), level[:, None]), rtol=1e-5, atol=1e-6)


def test_levels_that_are_absent_do_not_count():
    logits = torch.full((1, 6, 3), -20.0)
    logits[..., 0] = 20.0
    entropy, dice = class_losses(logits, torch.zeros(1, 6, dtype=torch.int64))
    assert entropy.item() < 1e-6
    assert dice.item() < 1e-6


def test_centers_are_those_of_scikit_learn():
    torch.manual_seed(0)
    points = torch.cat([torch.randn(50, 4) + 6 * n for n in range(5)])
    found = k_means(points, 5)
    start = points[torch.linspace(0, 249, 5).long()].numpy()
    theirs = KMeans(5, init=start, n_init=1, max_iter=25, tol=0).fit(points.numpy()).cluster_centers_
    torch.testing.assert_close(found, torch.from_numpy(theirs), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(k_means(torch.ones(9, 2), 3), torch.ones(3, 2))  # centers without points stay


def test_restoration_is_the_mean_over_voxels():
    torch.manual_seed(0)
    a, b = torch.randn(6, 10), torch.randn(6, 10)
    torch.testing.assert_close(restoration_loss(a, b).mean(), F.mse_loss(a, b))


def test_rotation_is_cross_entropy_of_quarter_turns():
    torch.manual_seed(0)
    logits, turns = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 4])
    torch.testing.assert_close(rotation_loss(logits, turns).mean(), F.cross_entropy(logits, turns % 4))


def test_agreement_asks_for_the_mean_code():
    torch.manual_seed(0)
    scores, codes = torch.randn(2, 4), torch.randn(2, 3, 4).softmax(-1)
    expected = F.cross_entropy(scores / 0.1, codes.mean(1), reduction="none")
    torch.testing.assert_close(agreement_loss(scores, codes, 0.1), expected)


def test_masked_slices_have_the_smooth_distance_from_their_targets():
    gaps = torch.tensor([[0.5, -0.5], [3.0, 0.0]])
    assert masked_slice_loss(torch.ones(2, 2) + gaps, torch.ones(2, 2)).tolist() == [0.125, 1.25]


def test_densify_fills_the_hidden_cells_at_any_resolution():
    hidden = torch.zeros(1, 1, 2, 2, 2, dtype=torch.bool)
    hidden[0, 0, 1, 0, 1] = True
    out = densify(torch.ones(1, 3, 4, 4, 4), hidden, torch.tensor([5.0, 6.0, 7.0]))
    assert torch.equal(out[0, :, 2:, :2, 2:].amin((1, 2, 3)), torch.tensor([5.0, 6.0, 7.0]))
    assert out.sum() == 64 * 3 + 8 * (4 + 5 + 6)
