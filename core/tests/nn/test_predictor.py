"""The predictor of masked rows: packing, context and places, empty groups."""

import pytest
import torch

from unlabeled.contract import Layout
from unlabeled.nn.predictor import TokenPredictor


def layout(lengths, coordinates=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Layout(tuple(lengths), torch.randint(0, 14, (sum(lengths), coordinates), generator=generator))


@pytest.fixture
def predictor():
    torch.manual_seed(0)
    return TokenPredictor(6, width=8, depth=2, heads=2)


def test_a_prediction_depends_neither_on_padding_nor_on_the_other_samples_and_sets(predictor):
    context, first, second = layout([5, 2, 9]), layout([3, 1, 4], seed=1), layout([2, 6, 1], seed=2)
    tokens = torch.randn(16, 6, generator=torch.Generator().manual_seed(3))
    together = predictor(tokens, context, [first, second])
    assert together.shape == (17, 6)
    start = 0
    for asked in (first, second):
        for group in range(3):
            rows = slice(context.offsets[group], context.offsets[group + 1])
            alone = predictor(tokens[rows], context.groups(group, group + 1), [asked.groups(group, group + 1)])
            torch.testing.assert_close(together[start : start + len(alone)], alone, rtol=1e-5, atol=1e-6)
            start += len(alone)


def test_a_prediction_reads_the_whole_context_and_its_place(predictor):
    context, asked = layout([4]), layout([2], seed=1)
    tokens = torch.randn(4, 6, generator=torch.Generator().manual_seed(3)).requires_grad_()
    predictor(tokens, context, [asked])[0].sum().backward()
    assert (tokens.grad.abs().sum(1) > 0).all()
    moved = Layout((2,), asked.position + torch.tensor([[1, 0], [0, 0]]))
    change = (predictor(tokens, context, [moved]) - predictor(tokens, context, [asked])).abs().sum(1)
    assert (change > 1e-4).all()


def test_a_group_with_nothing_to_see_or_say_does_no_harm(predictor):
    context, asked = layout([3, 0, 0]), layout([2, 0, 1], seed=1)
    tokens = torch.randn(3, 6, requires_grad=True)
    out = predictor(tokens, context, [asked])
    out.sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in predictor.parameters())
