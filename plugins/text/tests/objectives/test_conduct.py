"""How the objectives of texts behave: every law of the conduct suite, on short texts of words."""

from dataclasses import replace

import torch

from unlabeled.build import make
from unlabeled.contract import Layout, View
from unlabeled.draw import Draw
from unlabeled.masks.rows import choose, keys
from unlabeled.testing import parametrize_conduct
from unlabeled_text.batch import TextBatch, TextSpec
from unlabeled_text.encoders.modern import Causal, Modern
from unlabeled_text.encoders.transformers import Seq2Seq
from unlabeled_text.plugin import unlabeled_domain

SPEC = TextSpec(vocabulary=40, length=16, prefix=(1,), suffix=(2,), pad=0, mask=3)


class Bag(torch.nn.Module):
    """The smallest bag of 1- and 2-grams."""

    def __init__(self, spec, dim=8):
        super().__init__()
        self.dim, self.can, self.spec = dim, frozenset({"tokens"}), spec
        self.words = torch.nn.Embedding(spec.vocabulary, dim)
        self.pairs = torch.nn.Embedding(97, dim)

    def word_embeddings(self):
        return self.words.weight

    def layout(self, batch):
        place = torch.cat([torch.arange(n) for n in batch.lengths])
        return Layout(batch.lengths, place[:, None])

    def parts(self, view):
        tokens = view.batch.tokens
        before = torch.cat((tokens[:1], tokens[:-1]))
        return [self.words(tokens), self.pairs((before * 31 + tokens) % 97)]


def of(name, **settings):
    return lambda encoder: make("text", "objective", name, settings, {"encoder": encoder, "vocabulary": 40})


SMALL = {"depth": 1, "heads": 2}
MAKE = {
    "mlm": of("mlm"),
    "rts": of("rts"),
    "rtd": of("rtd", share=0.5, depth=1),
    "simcse": of("simcse"),
    "denosent": of("denosent", **SMALL),
    "denoise": of("denosent", **SMALL, contrast=0.0),
    "seq2seq": of("seq2seq"),
    "tsdae": of("tsdae", **SMALL),
    "e2s2": of("e2s2"),
    "clm": of("clm"),
    "salt": of("salt", first=0.1),
    "contrast_mlm": of("contrast_mlm"),
    "space2": of("contrast_mlm", kind="one_way", passes="apart", head="tanh"),
    "urlbert": of("urlbert"),
    "vega": of("vega", first=0.04, depth=1),
    "scincl": of("scincl", margin=4.0),
    "same_span": of("same_span"),
    "sent2vec": of("sent2vec", negatives=4),
}
EXPECTED = {
    (name, "nothing_hidden_costs_nothing"): reason
    for name, reason in {
        "rtd": "every row is asked whether it was replaced",
        "vega": "every row is asked whether it was replaced",
        "e2s2": "the target is restored all the same",
        "contrast_mlm": "texts are contrasted all the same",
        "space2": "texts are contrasted all the same",
        "urlbert": "texts are contrasted all the same",
    }.items()
} | {
    ("seq2seq", "waits_for_no_device"): "transformers looks whether its mask is full",
    ("e2s2", "waits_for_no_device"): "transformers looks whether its mask is full",
    ("sent2vec", "waits_for_no_device"): "how many words are kept is in the data",
}


def encoder(name):
    if name == "sent2vec":
        return Bag(SPEC)
    if name in ("clm", "salt"):
        return Causal(SPEC, width=16, depth=2, heads=2)
    if name in ("seq2seq", "e2s2"):
        return Seq2Seq(SPEC, width=16, depth=1, heads=2, dropout=0.0)
    return Modern(SPEC, width=16, depth=2, heads=2, window=4)


def text_batch(ids, view):
    """Texts of 5 or 8 tokens that follow from their ids and the view."""
    ids = torch.as_tensor(ids)
    lengths = tuple(5 + 3 * (i % 2) for i in ids.tolist())
    draws = Draw(0, 0, ids, view).integers(8, 2010, SPEC.vocabulary - 5, 5)
    rows = [torch.cat((torch.tensor([1]), row[: n - 2], torch.tensor([2]))) for row, n in zip(draws, lengths)]
    return TextBatch(ids, torch.cat(rows), lengths, torch.ones(sum(lengths), dtype=torch.bool))


def masked(view):
    """Two or three rows of each text chosen; the first hidden, the others shown as another word."""
    layout, draw = view.layout, Draw(0, 0, view.batch.ids)
    chosen = choose(keys(layout, draw, 2011), layout, [2 + i % 2 for i in view.batch.ids.tolist()])
    narrow = replace(layout, maskable=chosen)
    hidden = choose(keys(layout, draw, 2012), narrow, [1] * len(chosen.lengths))
    other = (view.batch.tokens - 5 + 7) % 35 + 5
    shown = torch.where(chosen.flags(layout.total) & ~hidden.flags(layout.total), other, view.batch.tokens)
    return replace(view, hidden=hidden, predict=(chosen,), shown=shown, ids=view.batch.tokens)


def views(encoder, needs, ids, scale, dtype):
    made = []
    for number, role in enumerate(role for role, count in needs.views.items() for _ in range(count)):
        batch = text_batch(ids, number)
        view = View(batch, role, encoder.layout(batch), ids=batch.tokens, params={"same": batch.ids % 4 < 2})
        made.append(masked(view) if needs.hidden and role in ("global", "source") else view)
    return made


@parametrize_conduct(MAKE, views, encoder=encoder, expected_failures=EXPECTED)
def test_conduct(objective, law):
    law(objective)


def test_no_objective_is_left_out():
    assert {row.name for row in unlabeled_domain().components if row.kind == "objective"} <= set(MAKE)
