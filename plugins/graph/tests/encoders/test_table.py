"""The table, the pair of networks, and codes of a trained codebook."""

import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import Needs, Rows, View
from unlabeled.errors import UsageError
from unlabeled.nn.codebooks import Quantizer, entrance
from unlabeled_graph.batch import GraphSpec
from unlabeled_graph.data.karate import Karate
from unlabeled_graph.data.motifs import Motifs
from unlabeled_graph.encoders.table import Table
from unlabeled_graph.encoders.two_view import TwoView
from unlabeled_graph.ops.diffusion import diffuse
from unlabeled_graph.tokenizers.codes import codebook_of, nearest_codes


def test_a_table_has_a_vector_for_each_node():
    data = Karate()
    table = Table(data.spec, rows=40, width=6)
    out = table(View(data.__getitems__([4, 9]), "clean"))
    assert torch.equal(out.pooled, table.table.weight[[4, 9]])
    assert torch.equal(out.tokens, table.table.weight[:34])
    view = View(data.graph, "clean", hidden=Rows(torch.tensor([0]), (1,)))
    with pytest.raises(ValueError, match="cannot hide rows"):
        table(view)
    with pytest.raises(UsageError, match="these samples are graphs"):
        table(View(Motifs(count=8).__getitems__([0, 1]), "clean"))
    with pytest.raises(UsageError, match="these samples are graphs"):
        Table(Motifs(count=8).spec)


def test_no_two_nodes_share_a_vector():
    assert Table(GraphSpec(1, node_count=5000), width=2).table.weight.shape == (5000, 2)
    with pytest.raises(UsageError, match="has 4,096 vectors, and the graph 5,000 nodes"):
        Table(GraphSpec(1, node_count=5000), rows=4096)
    with pytest.raises(UsageError, match=r"give --encoder\.rows N"):
        Table(GraphSpec(1))
    data = Karate()
    with pytest.raises(UsageError, match="has 30 vectors, and the graph 34 nodes"):
        Table(GraphSpec(data.spec.features, node_count=30))(View(data.graph, "clean"))


def test_two_views_go_to_two_networks():
    data = Karate()
    pair = TwoView(data.spec, width=6).eval()
    near, far = View(data.graph, "global"), View(diffuse(data.graph, "ppr", 0.2, 64), "diffusion")
    both = pair(near).pooled
    pair.prepare(Needs(views={"global": 1, "diffusion": 1, "corrupt": 1}))
    torch.testing.assert_close(pair(near).pooled, pair.near(near).pooled)
    torch.testing.assert_close(pair(far).pooled, pair.far(far).pooled)
    torch.testing.assert_close(pair(View(data.graph, "clean")).pooled, both)
    torch.testing.assert_close(both, pair.near(near).pooled + pair.far(far).pooled)


def test_codes_are_the_nearest_of_each_part():
    torch.manual_seed(0)
    enter, quantizer, tokens = entrance(4, 6), Quantizer(5, 3), torch.randn(7, 4)
    enter(torch.randn(20, 4))
    state = {f"enter.{name}": value for name, value in enter.state_dict().items()}
    book = state | {"quantizer.codebook": quantizer.codebook.detach()}
    parts = enter.eval()(tokens).reshape(14, 3)
    expected = F.cosine_similarity(parts[:, None], book["quantizer.codebook"][None], dim=2).argmax(1).reshape(7, 2)
    assert torch.equal(nearest_codes(tokens, book), expected)


def test_a_run_without_a_codebook_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"last\.ckpt cannot be read"):
        codebook_of(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    torch.save({"state_dict": {"objective.head": torch.zeros(1)}}, tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(UsageError, match="has no codebook"):
        codebook_of(tmp_path)
