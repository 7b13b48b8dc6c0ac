"""Features without a model."""

from dataclasses import replace

import pytest
import torch

from unlabeled.contract import View
from unlabeled_graph.baselines import Counts, Fingerprints, Neighborhood, Propagated, RawFeatures, WeisfeilerLehman
from unlabeled_graph.batch import GraphSpec, graph_batch
from unlabeled_graph.data.files import files
from unlabeled_graph.data.karate import Karate
from unlabeled_graph.data.motifs import Motifs


def test_propagated_features_are_the_matrix_product() -> None:
    data = Karate()
    view = View(data.graph, "clean")
    edges, x = data.graph.edges, RawFeatures()(view)
    matrix = torch.eye(34).index_put((edges[1], edges[0]), torch.ones(edges.shape[1]), accumulate=True)
    scale = matrix.sum(1).rsqrt()
    matrix = scale[:, None] * matrix * scale
    torch.testing.assert_close(Propagated(data.spec)(view), matrix @ matrix @ x, rtol=1e-5, atol=1e-6)
    part = View(data.__getitems__([5, 3]), "clean")
    torch.testing.assert_close(Propagated(data.spec)(part), (matrix @ matrix @ x)[[5, 3]], rtol=1e-5, atol=1e-6)


def test_counts_are_sums_nodes_and_edges() -> None:
    data = Motifs()
    batch = data.__getitems__([3, 7])
    found = Counts()(View(batch, "clean"))
    assert found[:, -2].tolist() == list(batch.lengths)
    assert int(found[:, -1].sum()) == batch.edges.shape[1]
    first = batch.x[: batch.lengths[0]]  # type: ignore[index]
    torch.testing.assert_close(found[0, :-2], first.sum(0))
    assert Counts().applies(data)
    assert not Counts().applies(Karate())


def test_weisfeiler_lehman_sees_structure_and_not_the_order_of_nodes() -> None:
    x = torch.ones(4, 2)
    path, star = torch.tensor([[0, 1, 2], [1, 2, 3]]), torch.tensor([[0, 0, 0], [1, 2, 3]])
    turned = torch.tensor([[3, 2, 1], [2, 1, 0]])
    both = [torch.cat((e, e.flip(0)), 1) for e in (path, turned, star)]
    sorted_edges = [e[:, torch.argsort(e[1] * 4 + e[0])] for e in both]
    batch = graph_batch([0, 1, 2], [(x, e, None) for e in sorted_edges])
    found = WeisfeilerLehman(GraphSpec(2, 0, "graph"))(View(batch, "clean"))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    torch.testing.assert_close(found.square().sum(1), torch.full((3,), 16.0))  # 4 nodes, 4 sets of labels


def test_a_neighborhood_is_means_over_hops_degrees_and_triangles() -> None:
    # a triangle 0 1 2 with a tail 2 - 3
    edges = torch.tensor([[0, 0, 1, 1, 2, 2, 2, 3], [1, 2, 0, 2, 0, 1, 3, 2]])
    x = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    batch = graph_batch([0], [(x, edges[:, torch.argsort(edges[1] * 4 + edges[0])], None)])
    batch = replace(batch, seeds=torch.arange(4))
    found = Neighborhood(GraphSpec(1, 0, "node"))(View(batch, "clean"))
    once = [2.5, 2.0, 7 / 3, 3.0]
    twice = [(2 + 7 / 3) / 2, (2.5 + 7 / 3) / 2, (2.5 + 2 + 3) / 3, 7 / 3]
    degree, around = torch.tensor([2.0, 2, 3, 1]), torch.tensor([2.5, 2.5, 5 / 3, 3.0])
    triangles = torch.tensor([1.0, 1, 1 / 3, 0])
    wanted = (x[:, 0], torch.tensor(once), torch.tensor(twice), degree.log1p(), around.log1p(), triangles)
    torch.testing.assert_close(found, torch.stack(wanted, 1))
    assert Neighborhood(GraphSpec(1, 0, "node")).applies(Karate())
    assert not Neighborhood(GraphSpec(1, 0, "node")).applies(Motifs())


def test_fingerprints_are_those_of_rdkit(tmp_path) -> None:
    pytest.importorskip("rdkit")
    from rdkit import Chem
    from rdkit.Chem import AllChem

    (tmp_path / "it.csv").write_text("smiles,y\nCCO,1\nc1ccccc1O,0\nCC(=O)N,1\n")
    data = files(str(tmp_path / "it.csv"), 0.0)
    bits = Fingerprints(data.spec)
    assert bits.applies(data)
    found = bits(View(data.__getitems__([2, 1]), "clean"))
    for row, smiles in zip(found, ("CC(=O)N", "c1ccccc1O")):
        wanted = AllChem.GetHashedMorganFingerprint(Chem.MolFromSmiles(smiles), 2, 2048).GetNonzeroElements()
        assert row.nonzero()[:, 0].tolist() == sorted(wanted)
    assert not Fingerprints(data.spec).applies(Motifs())
