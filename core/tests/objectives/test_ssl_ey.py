"""SSL-EY: the loss of covariances, written from the paper's sums over pairs of views; its minimum is that of CCA."""

import torch

from unlabeled.objectives.ssl_ey import SSLEY, eckart_young
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def covariance(a, b):
    return (a - a.mean(0)).T @ (b - b.mean(0)) / (len(a) - 1)


def test_equals_the_sums_over_views():
    torch.manual_seed(0)
    z = torch.randn(3, 9, 4).double()
    between = sum(covariance(z[i], z[j]).trace() for i in range(3) for j in range(3) if i != j)
    inside = sum(covariance(z[i], z[i]) for i in range(3))
    found = eckart_young(z)
    torch.testing.assert_close(found[0], between)
    torch.testing.assert_close(found[1], inside.square().sum())


def test_the_loss_of_views_through_encoder_and_projector():
    """-2 tr(C) + ||V||^2, as the paper's algorithm 1 has it."""
    torch.manual_seed(0)
    encoder = ToyEncoder().double()
    objective = SSLEY(encoder, projector=(12, 6)).double()
    views = toy_views(toy_batch(range(8)))
    views = [view for view in views if setattr(view.batch, "x", view.batch.x.double()) is None]
    a, b = (objective.projector(encoder(view).pooled) for view in views)
    wanted = (covariance(a, a) + covariance(b, b)).square().sum() - 2 * 2 * covariance(a, b).trace()
    torch.testing.assert_close(objective(encoder, views).total, wanted)


def test_the_minimum_is_minus_the_sum_of_squared_canonical_correlations():
    """Of two views of which two directions are shared: 2 (1 + rho) of V^-1/2 (C + V) V^-1/2, less the identity."""
    torch.manual_seed(0)
    shared = torch.randn(4000, 2).double()
    x = [torch.cat((shared, torch.randn(4000, 3).double()), 1) @ torch.randn(5, 5).double() for _ in range(2)]
    maps = [torch.randn(5, 2).double().div(5).requires_grad_() for _ in range(2)]
    search = torch.optim.LBFGS(maps, max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def loss():
        search.zero_grad()
        between, inside = eckart_young(torch.stack([a @ m for a, m in zip(x, maps)]))
        value = inside - 2 * between
        value.backward()
        return value

    search.step(loss)
    # both canonical correlations are 1, so V^-1 C has eigenvalue 1 twice: tr C = ||V||^2 = 2 and the loss is -2
    assert abs(loss().item() + 2.0) < 0.02


def test_a_constant_encoder_is_no_minimum():
    z = torch.ones(2, 8, 3).double()
    spread = z + 0.1 * torch.randn(8, 3, generator=torch.Generator().manual_seed(0)).double()
    losses = [inside - 2 * between for between, inside in (eckart_young(z), eckart_young(spread))]
    assert losses[1] < losses[0] == 0
