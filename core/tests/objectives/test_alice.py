"""Alice: each crop is drawn to the matching crop of another volume, and to none where none matches."""

import pytest
import torch
import torch.nn.functional as F

from unlabeled.build import make
from unlabeled.objectives.alice import match_loss, matches
from unlabeled.testing.toys import ToyDecoder, ToyEncoder, views_for


def units(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def same(samples):
    return torch.arange(samples)[:, None] == torch.arange(2 * samples) % samples


def test_matches_are_the_most_similar_crop_of_another_volume():
    z = units(8, 3)
    index, found = matches(z[:4], z, same(4), 0.7)
    middle = z.mean(0)
    for b in range(4):
        cosine = {k: float(F.cosine_similarity(z[b] - middle, z[k] - middle, dim=0)) for k in range(8) if k % 4 != b}
        best = max(cosine, key=cosine.__getitem__)
        assert index[b] == best
        assert found[b] == (cosine[best] >= 0.7)


def test_what_all_vectors_share_is_no_match():
    z = 0.1 * units(8, 16) + 10 * F.normalize(torch.ones(16), dim=0)
    assert F.cosine_similarity(z[:1], z, dim=1).min() > 0.99
    assert not matches(z[:4], z, same(4), 0.9)[1].any(), "a shared mean would match all"
    z[5] = z[0] + 0.001
    index, found = matches(z[:4], z, same(4), 0.9)
    assert index[0] == 5
    assert found.tolist()[0]


def test_the_contrast_finds_the_match_among_what_is_not_left_out():
    query, keys = units(2, 4), units(5, 4, seed=1)
    out = torch.tensor([[True, False, False, False, False], [False, True, False, False, True]])
    found = match_loss(query, keys, torch.tensor([3, 2]), out, 0.3)
    for n, (index, kept) in enumerate(((3, (1, 2, 3, 4)), (2, (0, 2, 3)))):
        scores = (keys @ query[n] / 0.3).exp()
        torch.testing.assert_close(found[n], -(scores[index] / scores[list(kept)].sum()).log())


# ------------------------------------------------------------------------------------------- the class


class Spy:
    """What the contrast is asked."""

    def __init__(self, alice):
        self.asked, self.find = [], alice._find
        alice._find = self

    def __call__(self, x, keys, index, out):
        self.asked.append((x, keys, index, out))
        return self.find(x, keys, index, out)


@pytest.fixture
def alice():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    settings = {"projector": (12, 6), "heads": 2, "threshold": -1.0, "contrast": 0.4}
    return encoder, make(
        "core", "objective", "alice", settings, {"encoder": encoder, "decoder": ToyDecoder, "content": 4}
    )


def test_a_crop_is_drawn_to_another_volume_and_never_to_its_own(alice):
    encoder, objective = alice
    views, spy = views_for(encoder, objective.needs, range(5)), Spy(objective)
    objective(encoder, views)
    assert len(spy.asked) == 4
    whole = [objective.teacher.encoder(view.clean()) for view in views]
    keys = torch.cat([F.normalize(objective.teacher.projector(w.pooled), dim=1) for w in whole])
    for number, (x, given, index, out) in enumerate(spy.asked):
        torch.testing.assert_close(given, keys, rtol=1e-4, atol=1e-5)
        assert not given.requires_grad
        assert (index % 5 != torch.arange(5)).all()
        expected, _ = matches(whole[number // 2].pooled, torch.cat([w.pooled for w in whole]), same(5), -1.0)
        assert torch.equal(index, expected)
        for b in range(5):
            left = {b, b + 5, (int(index[b]) + 5) % 10}
            assert set(torch.nonzero(out[b])[:, 0].tolist()) == left, "its own crops, and the match's twin"
        if number % 2 == 0:
            torch.testing.assert_close(x, encoder(views[number // 2], hide="drop").pooled)


def test_the_total_is_painting_and_both_contrasts(alice):
    encoder, objective = alice
    views, spy = views_for(encoder, objective.needs, range(5)), Spy(objective)
    found = objective(encoder, views)
    plain, aligned = (torch.cat([spy.find(*asked) for asked in spy.asked[k::2]]).mean() for k in (0, 1))
    torch.testing.assert_close(found.parts["matches"], plain.detach())
    torch.testing.assert_close(found.parts["anatomy"], aligned.detach())
    torch.testing.assert_close(found.total, found.parts["painted"] + 0.4 * (plain + aligned))
    assert found.parts["matched"] == 1


def test_without_a_match_a_crop_is_painted_alone(alice):
    encoder, objective = alice
    objective.threshold = 1.1
    found = objective(encoder, views_for(encoder, objective.needs, range(5)))
    assert found.parts["matched"] == 0
    torch.testing.assert_close(found.total.detach(), found.parts["painted"])
    assert found.parts["matches"] == 0


def test_rows_are_aligned_with_the_matched_crop(alice):
    encoder, objective = alice
    views, spy = views_for(encoder, objective.needs, range(5)), Spy(objective)
    objective(encoder, views)
    rows = torch.cat([w.layout.dense(w.tokens)[0] for w in (objective.teacher.encoder(v.clean()) for v in views)])
    mine = encoder(views[1], hide="drop")
    own = mine.layout.dense(mine.tokens)[0]
    match = rows[spy.asked[3][2]]
    expected = mine.layout.mean(mine.layout.pack(own + objective.align(own, match, match)[0]))
    torch.testing.assert_close(spy.asked[3][0], expected, rtol=1e-4, atol=1e-5)
