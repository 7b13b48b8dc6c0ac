"""Content of nodes: their features, dense; and their kind, where features say it."""

import pytest
import torch
import torch.nn.functional as F
from graph_samples import single

from unlabeled.contract import Rows
from unlabeled.draw import Draw
from unlabeled_graph.batch import GraphSpec
from unlabeled_graph.encoders.layers import GCN
from unlabeled_graph.ops.sparse import dense, sparse_rows
from unlabeled_graph.tokenizers.features import KINDS, NodeFeatures, ProjectedFeatures


def test_content_is_dense_and_made_once():
    batch = single()
    tokenizer = NodeFeatures(GraphSpec(6), GCN(GraphSpec(6)))
    sparse = batch.altered(x=sparse_rows(dense(batch.x)))
    first, ids = tokenizer(sparse, sparse.layout)
    again, _ = tokenizer(sparse, sparse.layout)
    assert first is again
    assert torch.equal(first, dense(batch.x))
    assert torch.equal(ids, dense(batch.x).argmax(1))


def test_words_are_no_kinds():
    spec = GraphSpec(KINDS + 1)
    tokenizer = NodeFeatures(spec, GCN(spec))
    assert (tokenizer.width, tokenizer.vocabulary) == (KINDS + 1, 0)


def test_altered_rows_are_other_and_the_rest_is_not():
    batch = single()
    tokenizer = NodeFeatures(GraphSpec(6), GCN(GraphSpec(6)))
    rows = Rows(torch.tensor([1, 4]), (2,))
    for it in (batch, batch.altered(x=sparse_rows(dense(batch.x)))):
        other = tokenizer.alter(it, it.layout, rows, Draw(0, 0, it.ids))
        changed = (dense(other.x) != dense(batch.x)).any(1)
        assert torch.nonzero(changed)[:, 0].tolist() == [1, 4]


def test_projected_features_keep_what_rows_have_in_common():
    batch = single(40, features=300)
    tokenizer = ProjectedFeatures(GraphSpec(300), GCN(GraphSpec(300)), dim=4000)
    found, ids = tokenizer(batch, batch.layout)
    again, _ = tokenizer(batch, batch.layout)
    assert found is again
    assert ids is None
    x = F.normalize(dense(batch.x), dim=1)
    torch.testing.assert_close(found @ found.T / 4000, x @ x.T, rtol=0, atol=0.1)


def test_projected_features_need_a_width():
    with pytest.raises(ValueError, match="dim is 0"):
        ProjectedFeatures(GraphSpec(6), GCN(GraphSpec(6)), dim=0)
