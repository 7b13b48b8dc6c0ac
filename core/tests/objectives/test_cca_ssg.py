"""CCA-SSG: equation 4 of the paper, through the class."""

import torch

from unlabeled.objectives.cca_ssg import CCASSG
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


def test_views_agree_and_each_view_s_features_are_decorrelated():
    """Minus tr Z_A^T Z_B, and lambda (|Z_A^T Z_A - I|^2 + |Z_B^T Z_B - I|^2), of features divided by N^1/2."""
    torch.manual_seed(0)
    encoder = ToyEncoder()
    views = toy_views(toy_batch(range(12)))
    found = CCASSG(encoder, decorrelation=0.3)(encoder, views)
    a, b = ((x - x.mean(0)) / x.std(0, correction=0) / 12**0.5 for x in (encoder(view).pooled for view in views))
    apart = sum((x.T @ x - torch.eye(8)).square().sum() for x in (a, b))
    torch.testing.assert_close(found.parts["invariance"], -(a.T @ b).trace().detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.total, -(a.T @ b).trace() + 0.3 * apart, rtol=1e-5, atol=1e-5)
