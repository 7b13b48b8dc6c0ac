"""Diffusion against PyG's GDC, which inverts the dense matrix."""

import math

import pytest
import torch
from graph_samples import many, single

from unlabeled_graph.ops.diffusion import coefficients, diffuse
from unlabeled_graph.ops.pyg import Data


def as_matrix(edges, weight, total):
    return torch.zeros(total, total).index_put((edges[1], edges[0]), weight, accumulate=True)


@pytest.mark.parametrize(("kind", "strength"), [("ppr", 0.2), ("heat", 3.0)])
def test_equal_to_gdc(kind, strength):
    from torch_geometric.transforms import GDC

    batch = single(15, 0.3)
    options = {"method": "ppr", "alpha": strength} if kind == "ppr" else {"method": "heat", "t": strength}
    transform = GDC(
        normalization_out=None,
        diffusion_kwargs=options,
        sparsification_kwargs={"method": "threshold", "eps": 0.0},
        exact=True,
    )
    expected = transform(Data(x=batch.x, edge_index=batch.edges, num_nodes=15))
    out = diffuse(batch, kind, strength, 0)
    found = as_matrix(out.edges, out.weight, 15)
    assert torch.allclose(found, as_matrix(expected.edge_index, expected.edge_attr, 15), atol=1e-5)


def test_series_end_where_little_is_left():
    for kind, strength in (("ppr", 0.2), ("ppr", 0.05), ("heat", 5.0)):
        assert math.isclose(sum(coefficients(kind, strength)), 1.0, abs_tol=2e-6)


def test_kept_entries_are_the_greatest_and_symmetric():
    batch = single(30, 0.2)
    whole, part = diffuse(batch, "ppr", 0.2, 0), diffuse(batch, "ppr", 0.2, 4)
    found = as_matrix(part.edges, part.weight, 30)
    assert torch.allclose(found, found.T)
    full = as_matrix(whole.edges, whole.weight, 30)
    greatest = full.topk(4, dim=0).values[-1]
    twice = full * (full >= greatest)
    assert torch.allclose(found, (twice + twice.T) / 2, atol=1e-6)


def test_no_graph_reaches_another_and_work_is_done_once():
    data = many()
    batch = data.__getitems__([0, 1, 2, 3])
    out = diffuse(batch, "ppr", 0.2, 0)
    assert torch.equal(batch.group[out.edges[0]], batch.group[out.edges[1]])
    assert diffuse(batch, "ppr", 0.2, 0).edges is out.edges
