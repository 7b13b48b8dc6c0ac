"""VoCo: both published variants against their formulas in plain loops."""

import math

import pytest
import torch
import torch.nn.functional as F

from unlabeled.objectives.voco import discrepancy_loss, position_logits, prediction_loss


def units(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.parametrize("variant", ["cvpr24", "repo2025"])
def test_voco_is_its_formula(variant):
    crop, base = units(3, 6), units(3, 4, 6, seed=1)
    overlap = torch.tensor([[0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
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
    assert both.abs().sum() > 0
    other = base.detach()
    eye = torch.eye(4, dtype=torch.bool)
    expected = (2 * (base.detach() @ other.mT).relu()).masked_fill(eye, 0) @ other / 12
    torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-7)


def test_a_perfect_prediction_costs_nothing():
    overlap = torch.tensor([[0.25, 0.75, 0.0]])
    for variant in ("cvpr24", "repo2025"):
        assert prediction_loss(overlap, overlap, variant).abs().max() < 1e-6
    assert torch.isfinite(prediction_loss(1 - overlap.round(), overlap.round())).all()
