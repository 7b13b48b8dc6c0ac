"""HuBERT: units of hidden frames from what is visible, of visible ones by weight; soft units: of every frame."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from unlabeled.objectives.hubert import HuBERT, SoftUnits
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_hide, toy_views


def start(make, *, local=0, books=1, **settings):
    torch.manual_seed(0)
    encoder = ToyEncoder(local=local)
    settings |= {"books": books} if make is HuBERT else {}
    objective = make(encoder, 7, **settings)
    views = [toy_hide(view, 5, n) for n, view in enumerate(toy_views(toy_batch(range(4)), ("global",) * 2, encoder))]
    ids = torch.randint(7, (2, 64, books))
    return encoder, objective, [replace(v, ids=i if books > 1 else i[:, 0]) for v, i in zip(views, ids, strict=True)]


def unit_loss(objective, tokens, ids, book=0):
    """Cross-entropy of cosines over the temperature, or of linear scores."""
    head = objective.head
    if head.scores == "linear":
        scores = tokens @ head.units[book].T
    else:
        x = head.project(tokens).chunk(head.books, 1)[book]
        scores = F.normalize(x) @ F.normalize(head.units[book]).T / head.temperature
    return F.cross_entropy(scores, ids, reduction="none")


def visible_rows(view):
    return torch.tensor([n for n in range(64) if n not in set(view.hidden.index.tolist())])


@pytest.mark.parametrize(("scores", "books", "visible"), [("cosine", 1, 0.0), ("cosine", 2, 0.5), ("linear", 1, 0.3)])
def test_hidden_frames_predict_their_units_and_visible_ones_by_weight(scores, books, visible):
    encoder, objective, views = start(HuBERT, books=books, width=8, scores=scores, visible=visible)
    hidden, seen = [], []
    for view in views:
        tokens, ids = encoder(view, hide="mask").tokens, view.ids.reshape(64, -1)
        for into, rows in ((hidden, view.hidden.index), (seen, visible_rows(view))):
            into.append(sum(unit_loss(objective, tokens[rows], ids[rows, k], k) for k in range(books)))
    expected = torch.cat(hidden).mean() + visible * torch.cat(seen).mean()
    torch.testing.assert_close(objective(encoder, views).total, expected)


def test_convolutional_features_are_held_small():
    encoder, objective, views = start(HuBERT, local=5, width=8, penalty=3.0)
    local = torch.cat([encoder(view).local for view in views])
    found = objective(encoder, views)
    torch.testing.assert_close(found.total, found.parts["masked"] + 3 * local.square().mean())
    without = HuBERT(encoder, 7, width=8, penalty=0.0)
    without.load_state_dict(objective.state_dict())
    torch.testing.assert_close(without(encoder, views).total, found.parts["masked"])


def test_soft_units_predict_every_frame_with_nothing_hidden():
    encoder, objective, views = start(SoftUnits, width=8, temperature=0.2)
    shown = [view.clean() for view in views]
    expected = torch.cat([unit_loss(objective, encoder(view).tokens, view.ids) for view in shown]).mean()
    torch.testing.assert_close(objective(encoder, shown).total, expected)
