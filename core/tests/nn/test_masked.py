"""The pieces of masked prediction: means over ranks' rows, restored sequences, positions, the predictor."""

import pytest
import torch

from unlabeled.contract import Layout, Rows
from unlabeled.nn.masked import TokenPredictor, deviation, restore, sincos, union_mean


def layout(lengths, coordinates=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Layout(tuple(lengths), torch.randint(0, 14, (sum(lengths), coordinates), generator=generator))


def test_union_mean_is_the_mean_and_zero_without_rows():
    values = torch.tensor([1.0, 2.0, 6.0], requires_grad=True)
    assert union_mean(values) == 3
    empty = values[:0]
    union_mean(empty).backward()
    assert union_mean(empty) == 0
    assert (values.grad == 0).all()
    assert union_mean(values.bfloat16()).dtype == torch.float32


def test_deviation_equals_torch_and_has_no_warning_without_rows():
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(deviation(x), x.std(0, correction=0).mean())
    assert deviation(x[:0]) == 0


def test_restore_puts_tokens_where_they_were():
    tokens = torch.arange(6.0).reshape(3, 2).requires_grad_()
    token = torch.tensor([-1.0, -2.0], requires_grad=True)
    whole = restore(tokens, Rows(torch.tensor([0, 3, 4]), (1, 2)), token, 5)
    assert whole.tolist() == [[0, 1], [-1, -2], [-1, -2], [2, 3], [4, 5]]
    whole.sum().backward()
    assert token.grad.tolist() == [2, 2]
    assert (tokens.grad == 1).all()
    assert restore(tokens, None, token, 3) is tokens


@pytest.mark.parametrize(("coordinates", "width"), [(1, 8), (2, 8), (3, 20)])
def test_positions_are_told_apart_by_parts_of_their_coordinates(coordinates, width):
    place = torch.cartesian_prod(*[torch.arange(4)] * coordinates).reshape(-1, coordinates)
    parts = sincos(place, width)
    assert parts.shape == (4**coordinates, width)
    assert torch.cdist(parts, parts).fill_diagonal_(9).min() > 0.1
    count = width // (2 * coordinates)
    expected = torch.sin(place[:, -1].float()[:, None] * 10000.0 ** -(torch.arange(count) / count))
    torch.testing.assert_close(parts[:, (coordinates - 1) * 2 * count :][:, :count], expected)


def test_rows_without_positions_get_none():
    assert torch.equal(sincos(torch.zeros(5, 0), 6), torch.zeros(5, 6))


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
