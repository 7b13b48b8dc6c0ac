"""Whole texts, spans, neighbors and pairs."""

import pytest
import torch

from unlabeled.draw import Draw
from unlabeled_text.batch import TextSpec
from unlabeled_text.data.sentences import Sentences
from unlabeled_text.ops import laws
from unlabeled_text.views.standard import Clean, Neighbors, Pairs, Plain, Spans, Twice

SPEC = laws.spec_for_tests()


def bodies(view):
    return [view.batch[i : i + 1].tokens[1:-1].tolist() for i in range(len(view))]


def test_whole_texts_are_left_alone():
    batch = laws.batch_for_tests(SPEC, (3, 9))
    for views in (Plain(SPEC), Twice(SPEC), Clean(SPEC)):
        for view in views(batch, Draw(0, 0, batch.ids)):
            assert view.batch is batch


def test_spans_are_runs_of_the_text_with_words_left_out():
    batch = laws.batch_for_tests(SPEC, (50,) * 300)
    own = [batch[i : i + 1].tokens[1:-1].tolist() for i in range(300)]
    for view in Spans(SPEC, least=0.4, most=0.8, leave_out=0.0)(batch, Draw(0, 0, batch.ids)):
        for text, span in zip(own, bodies(view), strict=True):
            assert 20 <= len(span) <= 40
            assert any(text[i : i + len(span)] == span for i in range(50 - len(span) + 1))
    first, _ = Spans(SPEC, least=1.0, most=1.0, leave_out=0.1)(batch, Draw(0, 0, batch.ids))
    kept = sum(len(span) for span in bodies(first))
    laws.near(kept / 15_000, 0.9, 15_000, "the kept share")


def test_spans_bring_the_whole_text_as_a_target():
    batch = laws.batch_for_tests(SPEC, (10, 30))
    views = Spans(SPEC, whole=True)
    found = views(batch, Draw(0, 0, batch.ids))
    assert [view.role for view in found] == list(views.roles) == ["global", "global", "target"]
    assert found[2].batch.tokens.tolist() == batch.tokens.tolist()


def test_spans_of_short_texts_keep_a_word():
    batch = laws.batch_for_tests(SPEC, (1, 2) * 100)
    for view in Spans(SPEC, least=0.0, leave_out=0.9)(batch, Draw(0, 0, batch.ids)):
        assert min(map(len, bodies(view))) >= 1


def test_declutr_spans_are_long_and_short_and_beside_each_other():
    batch = laws.batch_for_tests(SPEC, (60,) * 1000)
    views = Spans(SPEC, law="declutr", least=0.1, most=0.5, leave_out=0.0)(batch, Draw(0, 0, batch.ids))
    anchor, positive = (torch.tensor([len(b) for b in bodies(v)]).double().mean() / 60 for v in views)
    assert abs(float(anchor) - (0.1 + 0.4 * 4 / 6)) < 0.02  # mean of Beta(4, 2)
    assert abs(float(positive) - (0.1 + 0.4 * 2 / 6)) < 0.02


def test_neighbors_are_linked_and_elsewhere():
    data = Sentences(documents=12)
    data.bring(("near", "far"))
    batch = data.__getitems__(range(48))
    views = Neighbors(data.spec)(batch, Draw(0, 0, batch.ids))
    anchor, near, far = ([view.batch[i : i + 1].tokens.tolist() for i in range(48)] for view in views)
    documents = data.documents.tolist()
    texts = {}
    for i, tokens in enumerate(data.__getitems__([j])[0:1].tokens.tolist() for j in range(len(data))):
        texts.setdefault(tuple(tokens), set()).add(documents[i])
    for i in range(48):
        assert documents[i] in texts[tuple(near[i])]
        assert texts[tuple(far[i])] - {documents[i]}
        assert anchor[i] == data.__getitems__([i]).tokens.tolist()


def test_hard_negatives_are_a_fourth_view():
    data = Sentences(documents=30)
    views = Neighbors(data.spec, near=25, hard=4000)
    data.bring(views.asks)
    batch = data.__getitems__(range(8))
    found = views(batch, Draw(0, 0, batch.ids))
    assert len(found) == len(views.roles) == 4
    own = [batch.hard[i : i + 1].tokens.tolist() for i in range(32)]
    assert all(found[3].batch[i : i + 1].tokens.tolist() in own[4 * i : 4 * i + 4] for i in range(8))
    assert found[0].batch.hard is None


def test_pairs_say_whether_they_are_of_the_same():
    data = Sentences(documents=60)
    for level in ("paragraph", "document"):
        views = Pairs(data.spec, level=level)
        data.bring(views.asks)
        batch = data.__getitems__(range(200))
        (view,) = views(batch, Draw(0, 0, batch.ids))
        same = view.params["same"]
        laws.near(float(same.float().mean()), 0.5, 200, "the share of same pairs")
        ends = [view.batch[i : i + 1].tokens.tolist().count(data.spec.suffix[0]) for i in range(200)]
        assert set(ends) == {2}
        assert max(view.batch.lengths) <= data.spec.length
        if level == "paragraph":
            for i in same.nonzero()[:, 0].tolist():
                own = [t for t in batch[i : i + 1].tokens.tolist() if data.spec.plain[t]]
                assert [t for t in view.batch[i : i + 1].tokens.tolist() if data.spec.plain[t]] == own


@pytest.mark.parametrize(("hard", "other"), [(1.0, "hard"), (0.0, "far")])
def test_half_of_a_paragraph_is_told_from_another_paragraph_of_its_document(hard, other):
    data = Sentences(documents=20)
    views = Pairs(data.spec, hard=hard)
    data.bring(("far", "hard"))
    batch = data.__getitems__(range(90))
    (view,) = views(batch, Draw(0, 0, batch.ids))
    partners = getattr(batch, other)
    for i in (~view.params["same"]).nonzero()[:, 0].tolist():
        _, second = _parts(view.batch[i : i + 1].tokens.tolist(), data.spec.suffix[0])
        assert second, "the other half is never empty"
        ends = [_parts(partners[j : j + 1].tokens.tolist(), data.spec.suffix[0])[0] for j in range(4 * i, 4 * i + 4)]
        assert any(own[-len(second) :] == second for own in ends)


def _parts(tokens, end):
    """The tokens up to the first end, and those up to the second; without the [CLS] before them."""
    first = tokens.index(end)
    return tokens[1:first], tokens[first + 1 : -1]


def test_pairs_need_a_token_between() -> None:
    with pytest.raises(ValueError, match="a token that ends a text"):
        Pairs(TextSpec(50, 20))
