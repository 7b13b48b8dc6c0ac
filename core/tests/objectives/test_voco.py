"""VoCo: both published variants against their formulas in plain loops."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unlabeled.contract import Progress
from unlabeled.objectives.voco import VoCo, discrepancy_loss, position_logits, prediction_loss


def units(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.parametrize("variant", ["cvpr24", "repo2025"])
def test_voco_is_its_formula(variant):
    crop, base = units(3, 6), units(3, 4, 6, seed=1)
    overlap = torch.tensor([[0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.0]])
    logits = position_logits(crop, base)
    found, regular = prediction_loss(logits, overlap, variant), discrepancy_loss(base, variant)
    for b in range(3):
        terms, weights, far, alike = [], [], [], []
        for n in range(4):
            logit = max(0.0, float(crop[b] @ base[b, n]))
            y = float(overlap[b, n])
            terms.append(-math.log(max(1 - abs(y - logit), 1e-6)))
            weights.append(y)
            far += [logit**2] if y == 0 else []
            cosines = [float(base[b, n] @ base[b, m]) for m in range(4) if m != n]
            alike += [abs(c) if variant == "cvpr24" else max(0.0, c) ** 2 for c in cosines]
        if variant == "cvpr24":
            expected = sum(terms) / 4
        else:
            expected = sum(w * t for w, t in zip(weights, terms, strict=True)) / sum(weights)
            expected += sum(far) / len(far) if far else 0.0
        assert found[b].item() == pytest.approx(expected, rel=1e-5)
        assert regular[b].item() == pytest.approx(sum(alike) / 12, rel=1e-5)


def test_voco_of_2025_detaches_one_side():
    base = units(2, 4, 6).requires_grad_()
    both, one = (torch.autograd.grad(discrepancy_loss(base, v).sum(), base)[0] for v in ("cvpr24", "repo2025"))
    other = base.detach()
    eye = torch.eye(4, dtype=torch.bool)
    signs = (base.detach() @ other.mT).sign().masked_fill(eye, 0)
    torch.testing.assert_close(both, 2 * signs @ other / 12, rtol=1e-5, atol=1e-7)  # of |cos|, both sides
    expected = (2 * (base.detach() @ other.mT).relu()).masked_fill(eye, 0) @ other / 12
    torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-7)


def test_a_perfect_prediction_costs_nothing():
    overlap = torch.tensor([[0.25, 0.75, 0.0]])
    for variant in ("cvpr24", "repo2025"):
        assert prediction_loss(overlap, overlap, variant).abs().max() < 1e-6
    assert torch.isfinite(prediction_loss(1 - overlap.round(), overlap.round())).all()


# ------------------------------------------------------------------------------------------- the class


class Encoder(nn.Module):
    """``x[B, 5] -> 6`` features of a sample, linear."""

    dim = 6

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(5, 6)

    def forward(self, view):
        return SimpleNamespace(pooled=self.map(view.batch))


def crops_of(count=4, samples=3):
    generator = torch.Generator().manual_seed(3)
    overlap = torch.softmax(torch.randn(samples, count, generator=generator), 1)
    roles = ["base"] * count + ["global"] * 2
    return [
        SimpleNamespace(role=r, batch=torch.randn(samples, 5, generator=generator), params={"overlap": overlap})
        for r in roles
    ]


def made(**settings):
    torch.manual_seed(0)
    encoder = Encoder()
    voco = VoCo(encoder, projector=(8, 8, 4), **settings)
    with torch.no_grad():  # a teacher that has fallen behind
        for weight in voco.teacher.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return encoder, voco


def normed(x):
    """Deviation 1 over all rows, those of all crops of all volumes."""
    return (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()


def project(encoder, head, views):
    x = torch.cat([encoder.map(v.batch) for v in views])
    first, second, last = (layer for layer in head if isinstance(layer, nn.Linear))
    return F.normalize(last(normed(second(normed(first(x)).relu())).relu()), dim=1).reshape(len(views), -1, 4)


@pytest.mark.parametrize("variant", ["cvpr24", "repo2025"])
def test_the_loss_is_the_papers_through_the_class(variant):
    encoder, voco = made(variant=variant, regularizer=0.7)
    views = crops_of()
    mine = project(encoder, voco.projector, views)
    fixed = project(voco.teacher.encoder, voco.teacher.projector, views).detach()
    predicted, apart = [], []
    for b in range(3):
        for crop in (4, 5):
            logits = torch.stack([((mine[crop, b] @ fixed[n, b]).relu() + (fixed[crop, b] @ mine[n, b]).relu()) / 2
                                  for n in range(4)])  # fmt: skip
            predicted.append(prediction_loss(logits[None], views[crop].params["overlap"][b][None], variant))
        apart.append(discrepancy_loss(mine[:4, b][None], variant))
    expected = torch.cat(predicted).mean() + 0.7 * torch.cat(apart).mean()
    found = voco(encoder, views)
    torch.testing.assert_close(found.total, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.parts["prediction"], torch.cat(predicted).mean().detach(), rtol=1e-4, atol=1e-5)
    weights = [encoder.map.weight, *voco.projector.parameters()]
    for one, other in zip(
        torch.autograd.grad(found.total, weights), torch.autograd.grad(expected, weights), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_the_teacher_follows_the_student_and_learns_nothing_by_itself():
    encoder, voco = made(momentum=0.9)
    voco(encoder, crops_of()).total.backward()
    assert all(weight.grad is None for weight in voco.teacher.parameters())
    old = voco.teacher.encoder.map.weight.clone()
    voco.after_step(encoder, Progress(1, 10))
    expected = 0.9 * old + 0.1 * encoder.map.weight
    torch.testing.assert_close(voco.teacher.encoder.map.weight, expected)


def test_logits_come_to_say_how_far_crops_overlap():
    generator = torch.Generator().manual_seed(0)
    encoder, voco = made()
    optimizer = torch.optim.Adam([*encoder.parameters(), *voco.projector.parameters()], lr=0.02)
    for _ in range(80):
        bases = [torch.randn(5, generator=generator) * 0.1 + 2 * torch.eye(4, 5)[n] for n in range(4)]
        share = torch.softmax(3 * torch.randn(16, 4, generator=generator), 1)
        crop = share @ torch.stack(bases)
        views = [SimpleNamespace(role="base", batch=b.expand(16, -1), params={}) for b in bases]
        views.append(SimpleNamespace(role="global", batch=crop, params={"overlap": share}))
        optimizer.zero_grad()
        voco(encoder, views).total.backward()
        optimizer.step()
        voco.after_step(encoder, Progress(1, 80))
    z = project(encoder, voco.projector, views)
    logits = position_logits(z[4], z[:4].transpose(0, 1))
    assert torch.corrcoef(torch.stack((logits.flatten(), share.flatten())))[0, 1] > 0.8
