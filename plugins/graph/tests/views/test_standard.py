"""Views: what each component is made of, and what it refuses."""

import torch
from graph_samples import links_of, many, single

from unlabeled.draw import Draw
from unlabeled_graph.batch import GraphSpec
from unlabeled_graph.ops.sparse import dense
from unlabeled_graph.views.standard import CHANGES, Augment, Chosen, Clean, Plain, Shuffle

SPEC = GraphSpec(6)


def test_two_views_have_shares_of_their_own():
    batch = single(14, 0.5)
    views = Augment(SPEC, links=(0.2, 0.5), columns=(0.0, 0.5))(batch, Draw(0, 0, batch.ids))
    total = links_of(batch)
    assert [links_of(v.batch) for v in views] == [total - round(0.2 * total), total - round(0.5 * total)]
    assert [int((dense(v.batch.x) == 0).all(0).sum()) for v in views] == [0, 3]


def test_views_say_where_their_rows_come_from():
    batch = many().__getitems__([0, 1, 2, 3])
    for view in Augment(SPEC, nodes=(0.3, 0.5), columns=(0.0, 0.0))(batch, Draw(0, 0, batch.ids)):
        row = view.origin + torch.tensor(batch.layout.offsets)[view.batch.group]
        assert torch.equal(dense(view.batch.x), dense(batch.x)[row])


def test_an_unchanged_view_keeps_what_was_worked_out():
    batch = single()
    draw = Draw(0, 0, batch.ids)
    assert Plain(SPEC)(batch, draw)[0].batch is batch
    assert Clean(SPEC)(batch, draw)[0].batch is batch
    first, second = Shuffle(SPEC)(batch, draw)
    assert first.batch is second.batch
    assert second.swap.tolist() != list(range(12))


def test_diffusion_is_a_view_between_the_two():
    batch = single()
    for kernel in ("ppr", "heat"):
        views = Shuffle(SPEC, diffusion=True, kernel=kernel)(batch, Draw(0, 0, batch.ids))
        assert [view.role for view in views] == ["global", "diffusion", "corrupt"]
        assert views[1].batch.weight is not None


def test_every_graph_chooses_its_change():
    data = many((20,) * 40, 0.3)
    batch = data.__getitems__(list(range(40)))
    views = Chosen(SPEC, choices=CHANGES, strength=0.2)(batch, Draw(0, 0, batch.ids))
    for view in views:
        sizes = set(view.batch.lengths)
        assert sizes == {16, 20}
        links = torch.bincount(view.batch.group[view.batch.edges[1]], minlength=40)
        before = torch.bincount(batch.group[batch.edges[1]], minlength=40)
        whole = torch.tensor(view.batch.lengths) == 20
        assert torch.equal(links[whole], before[whole]), "as many added as dropped"
        assert bool((view.origin < 20).all())
    assert views[0].batch.lengths != views[1].batch.lengths


def test_a_choice_of_one_is_that_change():
    batch = many((10, 20)).__getitems__([0, 1])
    for choice, lengths in (("nodes", (8, 16)), ("subgraph", (8, 16)), ("same", (10, 20)), ("features", (10, 20))):
        view = Chosen(SPEC, choices=(choice,), strength=0.2)(batch, Draw(0, 0, batch.ids))[0]
        assert view.batch.lengths == lengths
