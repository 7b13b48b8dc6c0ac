"""iSogCLR: algorithm 1 by loops, its gradient that of the robust loss, and which samples get a higher temperature."""

import math

import pytest
import torch

from unlabeled.contract import Progress
from unlabeled.nn.heads import unit
from unlabeled.objectives.isogclr import ISogCLR, margins
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def made(**settings):
    torch.manual_seed(0)
    encoder = ToyEncoder()
    return encoder, ISogCLR(encoder, 10, projector=(12, 6), **settings), toy_views(toy_batch([7, 2, 5, 1]))


def test_margins_are_negatives_less_the_positive():
    torch.manual_seed(0)
    z = unit(torch.randn(6, 4)).view(2, 3, 4)
    found = margins(z[0], z[1])
    for view in range(2):
        for i in range(3):
            wanted = [float(z[view, i] @ z[k, j] - z[0, i] @ z[1, i]) for k in range(2) for j in range(3) if j != i]
            assert found[view, i].tolist() == pytest.approx(wanted, abs=1e-6)


def test_the_first_gradient_is_that_of_the_robust_loss():
    """With fresh averages: d/dw of mean_i tau_i log mean_j exp(h_ij / tau_i)."""
    encoder, objective, views = made(temperature=0.4, rho=0.3)
    loss = objective(encoder, views)
    loss.total.backward()
    found = [p.grad.clone() for p in objective.projector.parameters()]
    objective.zero_grad()
    h = margins(*(unit(objective.projector(encoder(view).pooled)) for view in views))
    robust = 0.4 * (torch.logsumexp(h / 0.4, 2) - math.log(h.shape[2]))
    assert loss.parts["robust"].item() == pytest.approx(robust.mean().item() + 0.4 * 0.3, rel=1e-5)
    robust.mean().backward()
    for mine, parameter in zip(found, objective.projector.parameters()):
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-4, atol=1e-6)


def test_state_follows_algorithm_1():
    encoder, objective, views = made(temperature=0.4, rho=0.3, average=0.2, lr=0.05)
    inner, tau, slope = {}, dict.fromkeys((7, 2, 5, 1), 0.4), {}
    for step in (1, 2):
        with torch.no_grad():
            h = margins(*(unit(objective.projector(encoder(view).pooled)) for view in views)).tolist()
        objective(encoder, views)
        for place, i in enumerate((7, 2, 5, 1)):
            slopes = []
            for view in range(2):
                e = [math.exp(x / tau[i]) for x in h[view][place]]
                g = sum(e) / len(e)
                u = inner[i, view] = g if step == 1 else 0.2 * inner[i, view] + 0.8 * g
                drift = sum(w * x for w, x in zip(e, h[view][place])) / len(e) / u / tau[i]
                slopes.append(math.log(u) + 0.3 - drift)
            now = sum(slopes) / 2
            slope[i] = now if step == 1 else 0.2 * slope[i] + 0.8 * now
        for i in tau:
            tau[i] = min(1.0, max(0.05, tau[i] - 0.05 * slope[i]))
        objective.after_step(encoder, Progress(step, 10))
    ids = torch.tensor([7, 2, 5, 1])
    assert objective.temperature.read(ids).tolist() == pytest.approx(list(tau.values()), rel=1e-4)
    assert objective.inner.read(ids)[:, 0].exp().tolist() == pytest.approx([inner[i, 0] for i in tau], rel=1e-4)
    assert objective.temperature.read(torch.tensor([0])).item() == pytest.approx(0.4), "unseen samples stay"
