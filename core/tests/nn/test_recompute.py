"""What is computed again in backward: the same numbers, and the wide ones are not held."""

import torch
from torch import nn

from unlabeled.nn import recompute
from unlabeled.nn.recompute import rowwise


def _held(change, x):
    """Values, gradients, and the sizes of what backward holds beside its inputs."""
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel())
        return tensor

    model = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8)).double()
    for number, p in enumerate(model.parameters()):
        nn.init.normal_(p, generator=torch.Generator().manual_seed(number))
    x = x.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = change(model, x)
    y.square().sum().backward()
    return [y.detach(), x.grad, *(p.grad for p in model.parameters())], max(sizes, default=0)


def test_rows_have_their_values_and_gradients_and_hold_only_what_goes_in(monkeypatch):
    monkeypatch.setattr(recompute, "ROWS", 7)
    monkeypatch.setattr(recompute, "LEAST", 0)
    x = torch.randn(30, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    plain, wide = _held(lambda model, rows: model(rows), x)
    ours, narrow = _held(rowwise, x)
    torch.testing.assert_close(ours, plain)
    assert wide == 30 * 32
    assert narrow <= 30 * 8


def test_without_gradients_rows_are_taken_some_at_a_time(monkeypatch):
    monkeypatch.setattr(recompute, "ROWS", 7)
    seen = []
    with torch.no_grad():
        out = rowwise(lambda part: seen.append(len(part)) or 2 * part, torch.ones(30, 3))
    assert torch.equal(out, torch.full((30, 3), 2.0))
    assert seen == [7, 7, 7, 7, 2]
    assert rowwise(lambda part: part, torch.ones(0, 3)).shape == (0, 3)
