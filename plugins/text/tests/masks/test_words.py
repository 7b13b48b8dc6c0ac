"""Masks and swaps under the laws of their papers, and beside transformers' own collator."""

from collections import Counter

import pytest
import torch

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled_text.data.sentences import Sentences
from unlabeled_text.masks.swaps import CRTS, RTS, SLM, Scrambled, contexts_of, kmeans
from unlabeled_text.masks.words import LONGEST, STOP, Bert, SpanBert, Targets, WholeWord, chosen_rows, span_lengths
from unlabeled_text.ops import laws
from unlabeled_text.ops.layouts import layout_of

SPEC = laws.spec_for_tests()
ALL = {
    "bert": Bert(SPEC),
    "bernoulli": Bert(SPEC, law="bernoulli"),
    "whole_word": WholeWord(SPEC),
    "span": SpanBert(SPEC),
    "targets": Targets(),
    "rts": RTS(SPEC),
    "slm": SLM(SPEC),
    "c_rts": CRTS(SPEC, clusters=8),
    "scrambled": Scrambled(SPEC),
}


@pytest.mark.parametrize("name", ALL)
def test_specials_are_never_touched_and_a_text_is_masked_alike_in_any_batch(name):
    laws.check_specials_untouched(ALL[name], SPEC)
    laws.check_same_in_any_batch(ALL[name], SPEC)


@pytest.mark.parametrize("name", ["bert", "bernoulli", "whole_word"])
def test_fates_are_80_10_10(name):
    laws.check_fates(ALL[name], SPEC)


@pytest.mark.parametrize("mask", [Bert(SPEC), SpanBert(SPEC), SLM(SPEC)], ids=lambda m: type(m).__name__)
def test_counts_are_exact(mask):
    laws.check_rate(mask, SPEC, 0.15, exact=True)


@pytest.mark.parametrize("mask", [Bert(SPEC, law="bernoulli"), WholeWord(SPEC, law="bernoulli")], ids=["bert", "word"])
def test_bernoulli_rates_are_as_likely_as_they_say(mask):
    laws.check_rate(mask, SPEC, 0.15, exact=False)


@pytest.mark.parametrize("name", ["bert", "bernoulli", "whole_word", "slm"])
def test_no_place_is_preferred(name):
    laws.check_flat(ALL[name], SPEC)


def test_scrambled_words_change_places_or_are_random():
    batch = laws.batch_for_tests(SPEC, (60, 3))
    view = View(batch, "source", layout_of(batch, SPEC))
    found = Scrambled(SPEC, shuffle=0.2, random=0.1)(view, Draw(0, 0, batch.ids))
    rows = found.predict[0]
    assert rows.lengths == (18, 2)
    shown, own = found.shown[rows.index[:18]].tolist(), found.ids[rows.index[:18]].tolist()
    assert sum((Counter(shown) & Counter(own)).values()) >= 12, "twelve of them only change places"
    assert sum(a != b for a, b in zip(shown, own, strict=True)) > 12
    untouched = ~rows.flags(len(batch.tokens))
    assert torch.equal(found.shown[untouched], batch.tokens[untouched])


def test_whole_words_are_whole():
    laws.check_whole_words(WholeWord(SPEC), SPEC)
    with pytest.raises(AssertionError, match="in part"):
        laws.check_whole_words(Bert(SPEC), SPEC)


def test_the_checks_find_what_breaks_a_law():
    with pytest.raises(AssertionError, match="hidden share"):
        laws.check_fates(Bert(SPEC, hide=0.7, random=0.1), SPEC)
    with pytest.raises(AssertionError, match="chi-square"):
        laws.check_flat(Targets(count=1), SPEC)  # spans reach the middle more often than the ends
    with pytest.raises(AssertionError, match="rows were chosen"):
        laws.check_rate(Bert(SPEC, ratio=0.3), SPEC, 0.15, exact=True)
    with pytest.raises(AssertionError, match="the changed share"):
        laws.check_swapped(RTS(SPEC, ratio=0.3), SPEC, 0.15)


def test_span_lengths_are_geometric():
    bits = Draw(0, 0, torch.arange(100)).bits(1000, 1).flatten()
    found = torch.bincount(span_lengths(bits), minlength=LONGEST + 1)[1:].double() / bits.numel()
    mass = STOP * (1 - STOP) ** torch.arange(LONGEST, dtype=torch.float64)
    assert torch.allclose(found, mass / mass.sum(), atol=0.006)
    assert abs(float((found * torch.arange(1, LONGEST + 1)).sum()) - 3.8) < 0.05  # the paper's mean


def test_spans_have_one_fate():
    batch = laws.batch_for_tests(SPEC, (60,) * 100)
    out = laws.masked(SpanBert(SPEC), batch, SPEC)
    chosen, hidden = laws.chosen_of(out), out.hidden.flags(len(batch.tokens))
    beside = chosen[1:] & chosen[:-1]
    same = (hidden[1:] == hidden[:-1])[beside].float().mean()
    assert same > 0.85  # 0.68 if each row had its own; spans that touch may differ
    assert beside.sum() > 0.6 * chosen.sum(), "chosen rows stand together"


def test_chosen_rows_stand_in_spans():
    laws.check_runs(SpanBert(SPEC), SPEC, 3.8)
    with pytest.raises(AssertionError, match="follow a chosen one"):
        laws.check_runs(Bert(SPEC), SPEC, 3.8)


def test_a_changed_row_is_judged_by_what_it_shows():
    batch = laws.batch_for_tests(SPEC, (50,) * 200)
    for mask, everywhere in ((RTS(SPEC), True), (SLM(SPEC), False)):
        laws.check_swapped(mask, SPEC, 0.15)
        out = laws.masked(mask, batch, SPEC)
        assert laws.chosen_of(out).sum() == (10_000 if everywhere else 200 * 8)


def test_clusters_hold_words_of_like_contexts():
    x = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9], [1.0, 0.2]]), dim=1)
    found = kmeans(x, 2, seed=1).tolist()
    assert found[0] == found[1] == found[4] != found[2] == found[3]
    mask = CRTS(SPEC, clusters=4)
    batch = laws.batch_for_tests(SPEC, (50,) * 50)
    out = laws.masked(mask, batch, SPEC)
    assert torch.equal(mask.cluster[out.shown], mask.cluster[batch.tokens]), "words stay in their cluster"


def test_clusters_hold_no_heap_of_words_that_no_text_holds():
    data = Sentences(documents=40, vocabulary=600)
    mask = CRTS(data.spec, clusters=8)
    mask.fit(data, 0)
    batch = data.__getitems__(range(len(data)))
    seen = batch.tokens.unique()
    assert torch.isin(mask.members, seen).all(), "no text holds a drawn word"
    assert int(mask.sizes[mask.sizes > 0].min()) > 1
    view = View(batch, "global", layout_of(batch, data.spec))
    out = mask(view, Draw(0, 0, batch.ids))
    chosen = chosen_rows(view.layout, Draw(0, 0, batch.ids), 0.15, "exact").index
    changed = torch.nonzero(out.shown != batch.tokens).flatten()
    assert torch.equal(changed, chosen.sort().values), "each chosen row shows another word"
    other = data.spec.ordinary[~torch.isin(data.spec.ordinary, seen)]
    assert (mask.sizes[mask.cluster[other]] > 0).all(), "a word of a later text has words to be replaced by"


def test_contexts_end_with_the_text():
    tokens = torch.tensor([20, 21, 22, 23])
    apart = contexts_of(tokens, SPEC, 0, torch.tensor([0, 0, 1, 1]))
    alone = contexts_of(torch.tensor([20, 21, 22, 23]).flip(0), SPEC, 0, torch.tensor([0, 0, 1, 1]))
    torch.testing.assert_close(apart, alone)


def test_selection_and_fates_agree_with_transformers():
    """DataCollatorForLanguageModeling and Bert(law="bernoulli") differ by chance alone."""
    from tokenizers import Tokenizer, models
    from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

    vocabulary = {f"w{i}": i for i in range(200)}
    own = {"pad_token": "w0", "unk_token": "w1", "cls_token": "w2", "sep_token": "w3", "mask_token": "w4"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="w1")), **own)
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=True, mlm_probability=0.15, seed=0)
    batch = laws.batch_for_tests(SPEC, (40,) * 1000)
    inputs = batch.tokens.reshape(1000, 42)
    special = ~SPEC.plain[inputs]
    theirs, labels = collator.torch_mask_tokens(inputs.clone(), special_tokens_mask=special.clone())
    out = laws.masked(Bert(SPEC, law="bernoulli"), batch, SPEC)
    hidden = out.hidden.flags(len(batch.tokens))
    ours = {
        "chosen": laws.chosen_of(out).float().sum(),
        "mask": hidden.float().sum(),
        "other": ((out.shown != batch.tokens) & ~hidden).float().sum(),
    }
    other = (theirs != inputs) & (theirs != SPEC.mask)
    found = {"chosen": (labels != -100).sum(), "mask": (theirs == SPEC.mask).sum(), "other": other.sum()}
    for name, count in ours.items():
        gap = abs(float(count) - float(found[name])) / (2 * float(count)) ** 0.5
        assert gap < laws.MILLION, f"{name}: {count} and {found[name]}"


def test_whole_words_are_those_of_transformers():
    """DataCollatorForLanguageModeling(whole_word_mask=True) chooses as many words, and whole ones, of equal lengths."""
    from tokenizers import Tokenizer, models
    from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

    own = {"pad_token": "w0", "unk_token": "w1", "cls_token": "w2", "sep_token": "w3", "mask_token": "w4"}
    inner = Tokenizer(models.WordLevel({f"w{i}": i for i in range(200)}, unk_token="w1"))
    collator = DataCollatorForLanguageModeling(
        PreTrainedTokenizerFast(tokenizer_object=inner, **own),
        mlm_probability=0.15,
        whole_word_mask=True,
        mask_replace_prob=1.0,
        random_replace_prob=0.0,
        seed=0,
    )
    batch = laws.batch_for_tests(SPEC, (42,) * 1000, word=3)
    inputs = batch.tokens.reshape(1000, 44)
    special = (~SPEC.plain[inputs]).long()
    place = torch.arange(44)  # a word of three tokens of two letters, then a space
    begin = (place - 1) // 3 * 7 + (place - 1) % 3 * 2
    offsets = torch.stack((begin, begin + 2), dim=1).expand(1000, 44, 2)
    _, labels = collator.torch_mask_tokens(inputs.clone(), special_tokens_mask=special, offset_mapping=offsets)
    theirs = (labels != -100)[:, 1:-1].reshape(-1, 3)
    found = laws.chosen_of(laws.masked(WholeWord(SPEC, law="bernoulli"), batch, SPEC)).reshape(1000, 44)
    ours = found[:, 1:-1].reshape(-1, 3)
    for words in (ours, theirs):
        assert torch.equal(words.all(1), words.any(1)), "whole words"
        laws.near(float(words[:, 0].double().mean()), 0.15, len(words), "the chosen share of words")
