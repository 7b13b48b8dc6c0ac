"""Joint image-volume: slices by themselves, the volume's agreement with them, and masked ones from the others."""

import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import Progress, View
from unlabeled.nn.heads import unit
from unlabeled.nn.init import sincos
from unlabeled.nn.prototypes import sinkhorn
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.encoders.slices import Slices
from unlabeled_medical3d.encoders.vit import ViT3D
from unlabeled_medical3d.objectives.joint_image_volume import JointImageVolume, slices_of

SPEC = VolumeSpec(1, (32, 32, 4))


def made(**settings):
    torch.manual_seed(0)
    encoder = Slices("test_convnext", SPEC)
    return encoder, JointImageVolume(encoder, **{"dim": 6, "prototypes": 5, "depth": 1, "mask": 0.5} | settings)


def view_of(images):
    affine = torch.eye(4, dtype=torch.float64).expand(len(images), 4, 4)
    return View(VolumeBatch(torch.arange(len(images)), images, affine), "global")


def pair(count=3, generator=None):
    return [view_of(torch.randn(count, 1, *SPEC.size, generator=generator)) for _ in range(2)]


def test_an_encoder_of_volumes_and_more_prototypes_than_slices_are_refused():
    with pytest.raises(ValueError, match="--encoder slices/resnet18"):
        JointImageVolume(ViT3D(VolumeSpec(1, (8, 8, 8)), width=12, depth=1, heads=2))
    assert made(prototypes=41)[1].needs.batch == 11  # of 4 slices each


def test_each_view_predicts_the_codes_of_the_other_and_volumes_those_of_their_slices():
    encoder, objective = made(agreement=0.6, prediction=0.3)
    views = pair()
    found = objective(encoder, views)
    slices = [slices_of(encoder(view)) for view in views]
    z = [unit(objective.projector(x.flatten(0, 1))) @ objective.prototypes.T for x in slices]
    codes = [sinkhorn(s.detach(), epsilon=0.02) for s in z]
    image = (
        -((codes[0] * (z[1] / 0.1).log_softmax(1)).sum(1) + (codes[1] * (z[0] / 0.1).log_softmax(1)).sum(1)).mean() / 2
    )
    torch.testing.assert_close(found.parts["image"], image.detach())
    mixed = [objective._mix(view, x, n) for n, (view, x) in enumerate(zip(views, slices))]
    whole = [unit(objective.volume_projector(summary)) @ objective.prototypes.T for summary, _ in mixed]
    terms = [
        -(codes[1 - n].unflatten(0, (3, 4)).mean(1) * (whole[n] / 0.1).log_softmax(1)).sum(1).mean() for n in range(2)
    ]
    torch.testing.assert_close(found.parts["agreement"], (sum(terms) / 2).detach())
    masked = torch.cat([loss for _, loss in mixed]).mean()
    torch.testing.assert_close(found.total, image + 0.6 * sum(terms) / 2 + 0.3 * masked)


def test_a_masked_slice_is_seen_by_nothing_that_predicts_it():
    encoder, objective = made()
    view = pair()[0]
    x_BSD = slices_of(encoder(view)).detach().requires_grad_()
    kept = []
    objective.mixer.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    summary, loss = objective._mix(view, x_BSD, 0)
    (gradient,) = torch.autograd.grad(summary.sum() + loss.sum(), x_BSD)
    seen = gradient.abs().sum(2) > 0
    assert seen.sum(1).tolist() == [2, 2, 2], "half of the slices, and no target carries a gradient"
    hidden = kept[0] - kept[0][~seen][0]
    assert hidden[~seen].flatten(1).abs().amin(1).min() == 0


def test_on_noise_that_no_two_views_share_nothing_is_learned():
    encoder, objective = made(prototypes=6)
    optimizer = torch.optim.Adam([*encoder.parameters(), *objective.parameters()], lr=1e-3)
    generator, last = torch.Generator().manual_seed(0), []
    for _ in range(40):
        found = objective(encoder, pair(8, generator))
        optimizer.zero_grad()
        found.total.backward()
        optimizer.step()
        last.append([float(found.parts[name]) for name in ("image", "agreement", "masked_slices")])
    image, agreement, masked = torch.tensor(last[-10:]).mean(0).tolist()
    chance = torch.tensor(6.0).log()
    assert min(image, agreement) > 0.97 * chance, (image, agreement)
    assert masked > 0.95 * 0.42, "of the mean of a normal variable, by smooth L1"


def test_a_masked_slice_is_hidden_by_the_token_and_asked_for_at_the_mean_and_deviation_of_all():
    encoder, objective = made()
    view, kept = pair()[0], []
    x = slices_of(encoder(view)).detach()
    objective.mixer.register_forward_hook(lambda _, inputs, out: kept.append((inputs[0], out)))
    _, loss = objective._mix(view, x, 0)
    (inside, out), rows = kept[0], x.flatten(0, 1)
    target = ((x - rows.mean(0)) / (rows.var(0, correction=0) + 1e-5).sqrt()).view_as(x)
    place = sincos(torch.arange(4)[:, None], x.shape[2])
    masked = torch.isclose(inside - place, objective.token.expand_as(x), atol=1e-5).all(2)
    assert masked.sum(1).tolist() == [2, 2, 2]
    torch.testing.assert_close((inside - place)[~masked], x[~masked], rtol=1e-4, atol=1e-5)
    asked = F.smooth_l1_loss(objective.predict(out)[masked], target[masked], reduction="none").mean(1)
    torch.testing.assert_close(loss, asked, rtol=1e-3, atol=1e-4)
    assert made(mask=0.99)[1]._mix(view, x, 0)[1].numel() == 9, "one slice of each is left to see"


def test_prototypes_are_brought_back_to_length_1():
    encoder, objective = made()
    with torch.no_grad():
        objective.prototypes.mul_(3)
    objective.after_step(encoder, Progress(1, 10))
    torch.testing.assert_close(objective.prototypes.norm(dim=1), torch.ones(5))
