"""Sparse rows against torch's dense products, in value and gradient."""

import pytest
import torch

from unlabeled_graph.ops import sparse


def matrix(rows=7, columns=5, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, columns, generator=generator, dtype=dtype)
    x[torch.rand(rows, columns, generator=generator) < 0.6] = 0
    x[2] = 0  # an empty row
    return x


def test_dense_and_back():
    x = matrix()
    assert torch.equal(sparse.sparse_rows(x).dense(), x)
    assert sparse.sparse_rows(x).shape == (7, 5)
    assert torch.equal(sparse.dense(x), x)


def test_product_and_gradients_equal_the_dense_product():
    x = matrix()
    rows = sparse.sparse_rows(x)
    values = rows.values.clone().requires_grad_()
    weight = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda v, w: sparse.product(rows.pattern, v, w), (values, weight))
    assert torch.allclose(sparse.matmul(rows, weight), x @ weight, atol=1e-12)
    with torch.no_grad():
        assert torch.allclose(sparse.matmul(rows, weight), x @ weight, atol=1e-12)


def test_a_symmetric_pattern_needs_no_transposed_copy():
    x = matrix(6, 6)
    rows = sparse.sparse_rows(x + x.T)
    same = sparse.Pattern(rows.pattern.offsets, rows.pattern.columns, 6, symmetric=True)
    weight = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    for pattern in (rows.pattern, same):
        (grad,) = torch.autograd.grad(sparse.product(pattern, rows.values, weight).square().sum(), weight)
        expected = 2 * (x + x.T) @ (x + x.T) @ weight
        assert torch.allclose(grad, expected.detach(), atol=1e-10)


def test_products_of_bfloat16_stay_bfloat16():
    x = matrix(dtype=torch.float32)
    weight = torch.ones(5, 3, dtype=torch.bfloat16, requires_grad=True)
    out = sparse.matmul(sparse.sparse_rows(x), weight)
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert torch.allclose(weight.grad.float(), x.sum(0)[:, None].expand(5, 3), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_edits_of_rows_and_columns(kind):
    x = matrix()
    it = sparse.sparse_rows(x) if kind == "sparse" else x
    index = torch.tensor([6, 2, 2, 0])
    assert torch.equal(sparse.dense(sparse.take(it, index)), x[index])
    columns, rows = torch.tensor([1.0, 0, 2, 0, 1]).double(), torch.arange(7).double()
    assert torch.equal(sparse.dense(sparse.scale_columns(it, columns)), x * columns)
    assert torch.equal(sparse.dense(sparse.scale_rows(it, rows)), x * rows[:, None])
    both = sparse.concatenate([it, sparse.take(it, index)])
    assert isinstance(both, sparse.SparseRows) == (kind == "sparse")
    assert torch.equal(sparse.dense(both), torch.cat((x, x[index])))


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_normalized_rows_sum_to_1_and_empty_ones_stay(kind):
    x = matrix(dtype=torch.float32)
    out = sparse.dense(sparse.normalize_rows(sparse.sparse_rows(x) if kind == "sparse" else x))
    assert torch.allclose(out.sum(1), (x.sum(1) > 0).float())


def test_from_scipy_adds_up_what_stands_twice():
    scipy_sparse = pytest.importorskip("scipy.sparse")
    found = scipy_sparse.coo_matrix(([1.0, 2.0, 4.0], ([0, 0, 1], [1, 1, 0])), shape=(3, 2))
    assert sparse.from_scipy(found).dense().tolist() == [[0, 3], [4, 0], [0, 0]]


def test_no_entries_at_all():
    none = sparse.sparse_rows(torch.zeros(3, 4))
    weight = torch.ones(4, 2, requires_grad=True)
    out = sparse.matmul(none, weight)
    out.sum().backward()
    assert torch.equal(out.detach(), torch.zeros(3, 2))
    assert float(weight.grad.abs().sum()) == 0
