"""GraphMAE's node mask: exact shares, rows that show another node, the same draws in any batch."""

import torch
from graph_samples import batches, many, single
from hypothesis import given, settings
from hypothesis import strategies as st

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled_graph.masks import NodeMask


def masked(batch, mask, seed=0):
    return mask(View(batch, "global", layout=batch.layout), Draw(seed, 0, batch.ids))


@settings(max_examples=30, deadline=None)
@given(batches(), st.sampled_from([0.1, 0.5, 0.75]), st.sampled_from([0.0, 0.05, 0.15, 0.5]), st.integers(0, 99))
def test_shares_are_exact_and_swapped_rows_show_others(batch, ratio, part, seed):
    view = masked(batch, NodeMask(ratio=ratio, replace=part), seed)
    whole = view.predict[0] if part else view.hidden
    assert whole.lengths == tuple(max(min(max(round(ratio * n), 1), n - 1), 0) for n in batch.lengths)
    if not part:
        assert view.swap is None
        return
    moved = torch.nonzero(view.swap != torch.arange(batch.total))[:, 0]
    assert sorted([*moved.tolist(), *view.hidden.index.tolist()]) == whole.index.tolist()
    assert torch.equal(batch.group[view.swap], batch.group), "from the same graph"
    counts = torch.bincount(batch.group[moved], minlength=len(batch.lengths)).tolist()
    assert counts == [min(round(part * n), n - 1) if n else 0 for n in whole.lengths]


def test_where_the_replaced_share_rounds_to_none_none_is():
    view = masked(single(6), NodeMask(ratio=0.5, replace=0.05))
    assert len(view.hidden) == 3, "and not all of them"


def test_a_graph_is_masked_alike_in_any_batch():
    data, mask = many((9, 7, 11)), NodeMask(ratio=0.5, replace=0.3)
    whole, alone = masked(data.__getitems__([0, 1, 2]), mask), masked(data.__getitems__([2]), mask)
    assert (whole.hidden.index[whole.hidden.index >= 16] - 16).tolist() == alone.hidden.index.tolist()
    assert (whole.swap[16:] - 16).tolist() == alone.swap.tolist()


def test_every_node_is_swapped_at_times():
    batch = single(12)
    seen = torch.zeros(12)
    for seed in range(200):
        swap = masked(batch, NodeMask(ratio=0.5, replace=0.5), seed).swap
        seen += swap != torch.arange(12)
    assert float(seen.min()) > 20
    assert float(seen.max()) < 90
