"""Sources and targets: T5's laws and lengths, UL2's mixture, BART's noise, deletions, and that targets restore."""

import numpy as np
import pytest
import torch

from unlabeled.draw import Draw
from unlabeled_text.batch import TextSpec
from unlabeled_text.data.sentences import Sentences
from unlabeled_text.ops import laws
from unlabeled_text.ops.spans import compositions, noise_spans, poisson, random_keys, smallest, span_counts
from unlabeled_text.ops.tokenizing import json_spec, sentinels_for, train
from unlabeled_text.views.corruptions import T5, UL2, Bart, Delete, body, permuted

SPEC = laws.spec_for_tests(500, 1200, sentinels=210)


def texts(*lengths):
    return laws.batch_for_tests(SPEC, lengths)


def both(views, batch, epoch=0):
    source, target = views(batch, Draw(0, epoch, batch.ids))
    return source, target


def noise(n, density, mean, count=400, *, uniform=False):
    full, draw = np.ones(count), Draw(0, 0, torch.arange(count))
    flags = noise_spans(np.full(count, n), full * density, full * mean, draw, uniform=uniform, most=500)
    return torch.from_numpy(flags).reshape(count, n)


@pytest.mark.parametrize("views", [T5(SPEC), T5(SPEC, law="edge", density=0.5), UL2(SPEC), UL2(SPEC, prefix=1.0)])
def test_source_and_target_restore_the_text(views):
    laws.check_spans_restore(views, SPEC)


@pytest.mark.parametrize(
    ("n", "density", "mean", "source", "target"),
    [  # lengths of T5's and UL2's published preprocessing, ends included
        (568, 0.15, 3.0, 512, 114),
        (1137, 0.15, 3.0, 1024, 229),
        (767, 0.5, 3.0, 512, 513),
        (991, 0.5, 32.0, 512, 513),
        (588, 0.15, 8.0, 512, 100),
    ],
)
def test_lengths_are_those_of_t5(n, density, mean, source, target):
    noisy, spans = (int(x[0]) for x in span_counts(np.array([n]), np.array([density]), np.array([mean]), 1000))
    assert noisy == round(n * density)
    assert spans == round(noisy / mean)
    assert (n - noisy + spans + 1, noisy + spans + 1) == (source, target)


def test_85_of_568_in_28_spans():
    flags = noise(568, 0.15, 3.0, 50)
    assert flags.sum(1).unique().tolist() == [85]
    starts = flags & ~torch.nn.functional.pad(flags, (1, -1))
    assert starts.sum(1).unique().tolist() == [28]


def test_edge_law_is_t5s_and_uniform_is_flat():
    rate = noise(60, 0.15, 3.0, 4000).double().mean(0)
    assert rate[0] == 0.0, "T5 never hides the first token"
    assert rate[-1] == 1.0, "T5 always hides the last"
    flags = noise(60, 0.15, 3.0, 4000, uniform=True).double()
    chi = float(((flags.mean(0) - 0.15) ** 2).sum() / (0.15 * 0.85 / 4000))
    assert chi < laws.chi_limit(60)


def test_compositions_are_uniform():
    draw = Draw(0, 0, torch.arange(6000))
    found = torch.from_numpy(compositions(np.full(6000, 5), np.full(6000, 3), draw, 1)).reshape(6000, 3)
    assert found.sum(1).unique().tolist() == [5]
    assert int(found.min()) == 1
    kinds, counts = found.unique(dim=0, return_counts=True)
    assert len(kinds) == 6  # 2 of 4 places
    assert float(((counts - 1000.0) ** 2 / 1000).sum()) < laws.chi_limit(5)


def test_compositions_of_unequal_samples():
    found = compositions(np.array([5, 1, 0, 9]), np.array([2, 1, 0, 9]), Draw(0, 0, torch.arange(4)), 1)
    assert found[:2].sum() == 5
    assert found.tolist()[2:] == [1] * 10


def test_of_equal_keys_the_first_are_chosen():
    keys = np.array([[5, 3, 5, 5, 9], [7, 7, 7, 7, 7], [1, 2, 3, 4, 5]], np.uint32)
    assert smallest(keys, np.array([2, 3, 1])).tolist() == [
        [True, True, False, False, False],
        [True, True, True, False, False],
        [True, False, False, False, False],
    ]
    assert smallest(keys, np.array([2, 2, 2])).sum(1).tolist() == [2, 2, 2]
    assert not smallest(keys, np.array([0, 0, 0])).any()


def test_a_text_is_turned_and_thinned_alike_in_any_batch():
    batch, views = texts(2, 40, 7, 25), Bart(SPEC, rotate=0.5, delete=0.1)
    for number in range(len(batch)):
        for a, b in zip(both(views, batch), both(views, batch[number : number + 1]), strict=True):
            assert a.batch[number : number + 1].tokens.tolist() == b.batch.tokens.tolist()


def test_the_mixture_has_its_shares():
    laws.check_denoisers(UL2(SPEC, prefix=0.25), SPEC, (0.75 * 2 / 6, 0.25, 0.75 * 4 / 6))
    with pytest.raises(AssertionError, match="the share of denoiser 0"):
        laws.check_denoisers(UL2(SPEC, prefix=0.5), SPEC, (0.25, 0.25, 0.5))


def test_the_end_of_a_text_is_a_quarter_on_average():
    batch = texts(*(40,) * 2000)
    _, target = both(UL2(SPEC, prefix=1.0), batch)
    spans = torch.tensor(target.batch.lengths) - 2
    assert abs(float(spans.double().mean()) - 10.5) < 0.7
    assert int(spans.min()) >= 1


def test_poisson_has_its_law():
    found = torch.from_numpy(poisson(random_keys(Draw(0, 0, torch.arange(100)), 1000, 1), 3.0)).double()
    assert abs(float(found.mean()) - 3.0) < 0.03
    assert abs(float(found.var()) - 3.0) < 0.08


def test_infilling_puts_one_mask_for_a_span():
    laws.check_infilled(Bart(SPEC, permute=False), SPEC, 0.3, 3.0)
    laws.check_infilled(Bart(SPEC, permute=True, rotate=0.5), SPEC, 0.3, 3.0)
    laws.check_infilled(Bart(SPEC, permute=False, infill=0.5, mean=6.0), SPEC, 0.5, 6.0)
    with pytest.raises(AssertionError, match="masks a text"):
        laws.check_infilled(Bart(SPEC, permute=False, mean=6.0), SPEC, 0.3, 3.0)
    batch = texts(*(100,) * 20)
    source, target = both(Bart(SPEC, permute=False), batch)
    for number in (0, 7):
        left = [t for t in source.batch[number : number + 1].tokens.tolist() if SPEC.plain[t]]
        whole = target.batch[number : number + 1].tokens.tolist()
        rest = iter(whole)
        assert all(t in rest for t in left), "what is left stands in its order"
        assert whole[:-1] == body(batch[number : number + 1], SPEC)[0].tolist()


def test_sentences_are_permuted_whole():
    tokens = torch.tensor([10, 11, 1, 20, 1, 30, 31, 32, 1, 40])
    counts = torch.tensor([9, 1])
    seen = set()
    for epoch in range(40):
        out = permuted(tokens, counts, tokens == 1, Draw(0, epoch, torch.arange(2)))
        assert int(out[9]) == 40, "sentences stay in their text"
        text = " ".join(map(str, out[:9].tolist()))
        seen.add(text)
        assert all(part in text for part in ("10 11 1", "20 1", "30 31 32 1"))
    assert len(seen) == 6


def test_deletion_keeps_its_share_and_one_at_least():
    laws.check_deleted(Delete(SPEC, ratio=0.6), SPEC, 0.6)
    with pytest.raises(AssertionError, match="the kept share"):
        laws.check_deleted(Delete(SPEC, ratio=0.4), SPEC, 0.6)  # sentence-transformers' documents delete 40 %


def test_noise_spans_have_t5s_law_from_end_to_end():
    for law in ("edge", "uniform"):
        views = T5(SPEC, law=law)
        laws.check_span_counts(views, SPEC, 0.15, 3.0)
        laws.check_noise_rates(views, SPEC, 0.15, edge=law == "edge")
    with pytest.raises(AssertionError, match="chi-square"):
        laws.check_noise_rates(T5(SPEC, law="edge"), SPEC, 0.15, edge=False)
    with pytest.raises(AssertionError, match="T5 never hides"):
        laws.check_noise_rates(T5(SPEC), SPEC, 0.15, edge=True)
    with pytest.raises(AssertionError, match="are noise, not"):
        laws.check_span_counts(T5(SPEC, density=0.3), SPEC, 0.15, 3.0)


def test_a_vocabulary_without_the_tokens_is_refused():
    plain = TextSpec(100, 32, mask=None)
    for make in (T5, UL2):
        with pytest.raises(ValueError, match="needs sentinels"):
            make(plain)
    with pytest.raises(ValueError, match="needs a mask token"):
        Bart(plain)
    with pytest.raises(ValueError, match=r"density is 1\.5"):
        T5(SPEC, density=1.5)


def test_a_source_of_ul2_stays_within_the_length():
    """A mode token stands before the source: a text of the greatest length whose end is one token was one too long."""
    spec = laws.spec_for_tests(200, 24)
    batch = laws.batch_for_tests(spec, (22,) * 300 + (21, 5))
    source, target = UL2(spec, prefix=1.0)(batch, Draw(0, 0, batch.ids))
    assert max(source.batch.lengths) == 24
    for i in (0, 300, 301):
        own = laws.restored(*(v.batch[i : i + 1].tokens.tolist() for v in (source, target)), spec)
        assert own == batch[i : i + 1].tokens.tolist()[1:-1][:21]


@pytest.mark.parametrize("length", [16, 128, 512, 1024])
def test_a_trained_tokenizer_has_a_sentinel_for_each_span(length):
    UL2(laws.spec_for_tests(400, length, sentinels=sentinels_for(length)))
    if length > 128:
        with pytest.raises(ValueError, match=r"has 32 sentinels to stand for them: lower --data\.length"):
            UL2(laws.spec_for_tests(400, length, sentinels=32))
    text = train("wordpiece", ["a b c d"] * 4, 400, sentinels_for(length))
    assert len(json_spec(text, length).sentinels) == sentinels_for(length)


def test_words_of_real_text_come_back():
    data = Sentences(documents=6, tokenizer="bytes", length=200)
    batch = data.__getitems__([0, 3])
    source, target = both(T5(data.spec), batch)
    own = [laws.restored(*(v.batch[i : i + 1].tokens.tolist() for v in (source, target)), data.spec) for i in (0, 1)]
    assert [data.spec.text(ids) for ids in own] == data.texts([0, 3])
