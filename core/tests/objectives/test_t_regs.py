"""T-REGS: SciPy's spanning tree, the gradient of its edges, and what collapse costs."""

import pytest
import torch
from scipy.sparse.csgraph import minimum_spanning_tree

from unlabeled.objectives.t_regs import TREGS, off_sphere, spanning_tree, tree_length
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views


@pytest.mark.parametrize("count", [2, 3, 17, 60])
def test_the_tree_is_scipys(count):
    torch.manual_seed(count)
    x = torch.randn(count, 3).double()
    theirs = minimum_spanning_tree(torch.cdist(x, x).numpy())
    assert {tuple(sorted(e)) for e in spanning_tree(x).T.tolist()} == {
        tuple(sorted(map(int, e))) for e in zip(*theirs.nonzero())
    }
    assert tree_length(x).item() == pytest.approx(theirs.sum())


def test_the_gradient_is_that_of_the_length():
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(tree_length, torch.randn(7, 3).double().requires_grad_())


def test_equal_samples_have_a_tree_of_length_0():
    x = torch.ones(4, 2, requires_grad=True)
    length = tree_length(x)
    length.backward()
    assert length == 0
    assert x.grad.isfinite().all()
    assert spanning_tree(x).unique().numel() == 4


def test_lengths_are_held_at_1_from_both_sides():
    assert off_sphere(torch.tensor([[0.6, 0.8]])).item() == pytest.approx(0)
    assert off_sphere(torch.tensor([[0.3, 0.4]])).item() == pytest.approx(0.25)
    assert off_sphere(torch.tensor([[0.9, 1.2]])).item() == pytest.approx(0.25)


def test_the_loss_and_where_it_drives():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = TREGS(encoder, projector=(12, 6), invariance=2.0, tree=3.0, sphere=0.5)
    views = toy_views(toy_batch(range(8)))
    loss = objective(encoder, views)
    a, b = (objective.projector(encoder(view).pooled) for view in views)
    distance = (a - b).square().sum(1).mean()
    edge = (tree_length(a) + tree_length(b)) / 16
    wanted = 2 * distance - 3 * edge + 0.5 * (off_sphere(a) + off_sphere(b)) / 2
    torch.testing.assert_close(loss.total, wanted)
    line = torch.nn.functional.normalize(torch.randn(32, 1) @ torch.ones(1, 3) + 1e-3 * torch.randn(32, 3), dim=1)
    ball = torch.nn.functional.normalize(torch.randn(32, 3), dim=1)
    assert tree_length(line) < tree_length(ball), "fewer directions, a shorter tree"
