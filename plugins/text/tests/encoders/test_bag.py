"""A bag of n-grams is the mean of its parts, each text on its own, specials left out."""

import pytest
import torch

from unlabeled.contract import Rows, View
from unlabeled_text.encoders.bag import Bag
from unlabeled_text.ops import laws

SPEC = laws.spec_for_tests()


def view(*lengths):
    return View(laws.batch_for_tests(SPEC, lengths), "clean")


@torch.no_grad()
def test_a_text_is_the_mean_of_its_words_and_pairs():
    bag = Bag(SPEC, width=8, longest=3, buckets=50)
    it = view(4, 1, 9)
    one, two, three = bag.parts(it)
    layout = bag.layout(it.batch)
    rows = layout.group == 0
    assert (one[rows].abs().sum(1) > 0).tolist() == [False, True, True, True, True, False]
    assert (two[rows].abs().sum(1) > 0).tolist() == [False, False, True, True, True, False]
    assert (three[rows].abs().sum(1) > 0).tolist() == [False, False, False, True, True, False]
    expected = (one + two + three)[rows].sum(0) / 9
    torch.testing.assert_close(bag(it).pooled[0], expected)
    torch.testing.assert_close(bag(it).pooled[1], bag.words.weight[it.batch.tokens[7]])


def test_what_it_cannot_do_is_refused():
    hidden = View(view(4).batch, "global", hidden=Rows(torch.tensor([1]), (1,)))
    with pytest.raises(ValueError, match="drops no rows"):
        Bag(SPEC)(hidden, hide="drop")
    with pytest.raises(ValueError, match="longest 0"):
        Bag(SPEC, longest=0)
