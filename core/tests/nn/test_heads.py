"""Heads have the layers that were asked for; unit vectors are safe at every size."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.precision import full


def kinds(head):
    return [type(layer).__name__ for layer in head]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["Linear", "BatchNorm", "ReLU", "Linear", "BatchNorm", "ReLU", "Linear"]),
        ({"norm": "none", "activation": "gelu"}, ["Linear", "GELU", "Linear", "GELU", "Linear"]),
        ({"norm": "layer"}, ["Linear", "LayerNorm", "ReLU", "Linear", "LayerNorm", "ReLU", "Linear"]),
        ({"last_norm": True}, ["Linear", "BatchNorm", "ReLU", "Linear", "BatchNorm", "ReLU", "Linear", "BatchNorm"]),
    ],
)
def test_layers(options, expected):
    head = mlp((4, 5, 6, 7), **options)
    assert kinds(head) == expected
    assert head(torch.randn(3, 4)).shape == (3, 7)


def test_one_layer():
    assert kinds(mlp((4, 7))) == ["Linear"]


def test_bias_stands_where_no_norm_follows_unless_told():
    def biases(**options):
        return [layer.bias is not None for layer in mlp((4, 5, 6), **options) if isinstance(layer, nn.Linear)]

    assert biases() == [False, True]
    assert biases(last_norm=True) == [False, False]
    assert biases(norm="none") == [True, True]
    assert biases(bias=False) == [False, False]
    assert biases(bias=True, last_norm=True) == [True, True]


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_last_norm_without_scale_and_shift(norm):
    head = mlp((4, 5, 6), norm=norm, last_norm=True, last_affine=False)
    assert head[-1].weight is None
    assert head[1].weight is not None


@pytest.mark.parametrize(
    ("widths", "options", "message"),
    [
        ((4,), {}, r"widths are \(4,\); a head has an input and an output width"),
        ((4, 0), {}, r"widths are \(4, 0\)"),
        ((4, 5), {"norm": "none", "last_norm": True}, "last_norm asks for a norm"),
    ],
)
def test_wrong_settings_are_named(widths, options, message):
    with pytest.raises(ValueError, match=message):
        mlp(widths, **options)


# ---------------------------------------------------------------------------------------------- unit vectors


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e10, 1e25])
def test_unit_equals_normalize(scale):
    x = torch.randn(6, 5, dtype=torch.float64)
    expected = F.normalize(x, dim=1).float()
    torch.testing.assert_close(unit((scale * x).float()), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_unit_has_the_gradient_of_normalize(scale):
    x = (scale * torch.randn(6, 5, dtype=torch.float64)).requires_grad_()
    weight = torch.randn(6, 5, dtype=torch.float64)
    (expected,) = torch.autograd.grad((F.normalize(x, dim=1) * weight).sum(), x)
    (found,) = torch.autograd.grad((unit(x) * weight).sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_unit_of_zero_is_zero_with_a_finite_gradient():
    x = torch.zeros(2, 3, requires_grad=True)
    unit(x).sum().backward()
    assert torch.equal(unit(x), torch.zeros(2, 3))
    assert x.grad.isfinite().all()


def test_full_precision():
    for dtype, expected in ((torch.bfloat16, torch.float32), (torch.float32, torch.float32)):
        assert full(torch.zeros(1, dtype=dtype)).dtype == expected
    assert full(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
