"""Debiased and hard-negative contrast: the papers' equations term by term, and what prior and hardness mean."""

import math

import pytest
import torch

from unlabeled.nn.heads import unit
from unlabeled.nn.infonce import nt_xent
from unlabeled.objectives.debiased import debiased_loss


def by_hand(z, tau, prior, beta):
    """Equations 7 and 8 (2007.00224), negatives reweighted as in equation 4 of 2010.04592; loops over samples."""
    terms, count = [], 2 * z.shape[1] - 2
    for view in range(2):
        for i in range(z.shape[1]):
            positive = math.exp(z[0, i] @ z[1, i] / tau)
            negatives = [math.exp(z[view, i] @ z[k, j] / tau) for k in range(2) for j in range(z.shape[1]) if j != i]
            weights = [n**beta for n in negatives]
            mean = sum(w * n for w, n in zip(weights, negatives)) / sum(weights)
            g = max((mean - prior * positive) / (1 - prior), math.exp(-1 / tau))
            terms.append(-math.log(positive / (positive + count * g)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize(("tau", "prior", "beta"), [(0.5, 0.1, 0.0), (0.5, 0.0, 1.0), (0.3, 0.2, 2.0), (0.2, 0.6, 0.5)])
def test_equals_the_equations_term_by_term(tau, prior, beta):
    torch.manual_seed(0)
    z = unit(torch.randn(10, 4)).double().view(2, 5, 4)
    assert debiased_loss(z[0], z[1], tau, prior, beta).item() == pytest.approx(by_hand(z, tau, prior, beta), rel=1e-9)


def test_without_prior_and_hardness_it_is_nt_xent():
    torch.manual_seed(0)
    a, b = unit(torch.randn(2 * 6, 4)).double().view(2, 6, 4)
    torch.testing.assert_close(debiased_loss(a, b, 0.3, 0.0), nt_xent(a, b, 0.3))


def test_hard_negatives_cost_more_and_a_prior_costs_less():
    a, b = unit(torch.randn(12, 4, generator=torch.Generator().manual_seed(0))).view(2, 6, 4)
    plain = debiased_loss(a, b, 0.5, 0.0)
    assert debiased_loss(a, b, 0.5, 0.0, 2.0) > plain > debiased_loss(a, a, 0.5, 0.3)
    assert debiased_loss(a, a, 0.5, 0.3) < debiased_loss(a, a, 0.5, 0.0)


def test_finite_where_exponents_leave_single_precision():
    a = torch.eye(2).requires_grad_()
    loss = debiased_loss(a, torch.eye(2), 0.01, 0.1, 2.0)
    loss.backward()
    assert loss.isfinite()
    assert a.grad.isfinite().all()
