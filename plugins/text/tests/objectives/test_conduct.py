"""How every objective of the plugin behaves: ranks, state, precision, gradients, chunks."""

import functools
from dataclasses import replace

import pytest
import torch

from unlabeled.contract import Layout, Progress, View, after_step
from unlabeled.draw import Draw
from unlabeled.masks.rows import choose, gather_rows, keys
from unlabeled.objectives.ct import CT
from unlabeled.testing.conduct import assert_same, descend, reload, share
from unlabeled.testing.ranks import run_ranks
from unlabeled.testing.subject import still
from unlabeled.training.gradient_cache import cached_backward
from unlabeled_text.batch import TextBatch, TextSpec
from unlabeled_text.encoders.modern import Causal, Modern
from unlabeled_text.objectives.clm import CLM
from unlabeled_text.objectives.contrast_mlm import ContrastMLM
from unlabeled_text.objectives.denosent import DenoSent
from unlabeled_text.objectives.e2s2 import E2S2
from unlabeled_text.objectives.mlm import MLM
from unlabeled_text.objectives.rtd import RTD
from unlabeled_text.objectives.rts import RTS
from unlabeled_text.objectives.salt import SALT
from unlabeled_text.objectives.same_span import SameSpan
from unlabeled_text.objectives.scincl import SciNCL
from unlabeled_text.objectives.sent2vec import Sent2Vec
from unlabeled_text.objectives.seq2seq import Seq2Seq
from unlabeled_text.objectives.simcse import SimCSE
from unlabeled_text.objectives.tsdae import TSDAE
from unlabeled_text.objectives.urlbert import URLBERT
from unlabeled_text.objectives.vega import Vega

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


def modern(**settings):
    return Modern(SPEC, width=16, depth=2, heads=2, window=4, **settings)


MAKE = {
    "mlm": (modern, MLM),
    "rts": (modern, RTS),
    "rtd": (modern, lambda e: RTD(e, share=0.5, depth=1)),
    "simcse": (modern, SimCSE),
    "denosent": (modern, lambda e: DenoSent(e, depth=1, heads=2)),
    "denoise": (modern, lambda e: DenoSent(e, depth=1, heads=2, contrast=0)),
    "seq2seq": (modern, lambda e: Seq2Seq(e, depth=1, heads=2)),
    "tsdae": (modern, lambda e: TSDAE(e, depth=1, heads=2)),
    "e2s2": (modern, lambda e: E2S2(e, depth=1, heads=2)),
    "clm": (lambda: Causal(SPEC, width=16, depth=2, heads=2), CLM),
    "salt": (lambda: Causal(SPEC, width=16, depth=2, heads=2), lambda e: SALT(e, first=0.1)),
    "ct": (modern, lambda e: CT(e, negatives=3)),
    "ct_in_batch": (modern, lambda e: CT(e, in_batch=True)),
    "declutr": (modern, ContrastMLM),
    "space2": (modern, lambda e: ContrastMLM(e, kind="one_way", passes="apart", head="tanh")),
    "urlbert": (modern, URLBERT),
    "vega": (modern, lambda e: Vega(e, first=0.06, depth=1)),
    "scincl": (modern, lambda e: SciNCL(e, margin=4.0)),
    "same_span": (modern, SameSpan),
    "sent2vec": (lambda: Bag(SPEC), lambda e: Sent2Vec(e, negatives=4)),
}
ALL = pytest.mark.parametrize("name", MAKE)


def make(name, seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    make_encoder, make_objective = MAKE[name]
    encoder = make_encoder()
    objective = make_objective(encoder)
    return still(encoder) or encoder.to(dtype), still(objective) or objective.to(dtype)


def text_batch(ids, view=0):
    """Texts of 5 to 9 tokens that follow from their ids and the view."""
    ids = torch.as_tensor(list(ids))
    lengths = tuple(int(5 + (i * 7 + view) % 5) for i in ids)
    draws = Draw(0, 0, ids, view).integers(9, 2010, SPEC.vocabulary - 5, 5)
    tokens = torch.cat([torch.cat((torch.tensor([1]), row[: n - 2], torch.tensor([2])))
                        for row, n in zip(draws, lengths, strict=True)])  # fmt: skip
    return TextBatch(ids, tokens, lengths, torch.ones(len(tokens), dtype=torch.bool))


def masked(view):
    """Two or three rows of each text chosen; the first hidden, the others shown as another word."""
    layout, draw = view.layout, Draw(0, 0, view.batch.ids)
    chosen = choose(keys(layout, draw, 2011), layout, [2 + i % 2 for i in view.batch.ids.tolist()])
    flags = chosen.flags(layout.total)
    narrow = replace(layout, maskable=gather_rows(flags, chosen.lengths))
    hidden = choose(keys(layout, draw, 2012), narrow, [1] * len(chosen.lengths))
    other = (view.batch.tokens - 5 + 7) % 35 + 5
    shown = torch.where(flags & ~hidden.flags(layout.total), other, view.batch.tokens)
    return replace(view, hidden=hidden, predict=(chosen,), shown=shown, ids=view.batch.tokens)


def make_views(encoder, needs, ids):
    views = []
    for role, count in needs.views.items():
        for _ in range(count):
            number = len(views)
            batch = text_batch(ids, number)
            view = View(batch, role, encoder.layout(batch), ids=batch.tokens)
            if needs.hidden and role in ("global", "source"):
                view = masked(view)
            if "same" in needs.params:
                view = replace(view, params={"same": batch.ids % 3 == 0})
            views.append(view)
    return views


def parameters(encoder, objective):
    yield from ((f"encoder.{n}", p) for n, p in encoder.named_parameters())
    yield from ((n, p) for n, p in objective.named_parameters() if p.requires_grad)


def train(name):
    encoder, objective = make(name, dtype=torch.float64)
    views = make_views(encoder, objective.needs, share(range(8)))
    return descend(encoder, objective, views, dict(parameters(encoder, objective)), rate=0.02)


def train_all():
    return {name: train(name) for name in MAKE}


@pytest.fixture(scope="module")
def on_ranks():
    return run_ranks(train_all, 2)


@ALL
def test_two_ranks_equal_one_in_value_gradient_and_state(name, on_ranks):
    alone = train(name)
    for result in on_ranks:
        assert_same(result[name], alone, rtol=1e-5, atol=1e-8)


@ALL
def test_every_parameter_gets_a_gradient(name):
    encoder, objective = make(name)
    for step in (0, 19):  # before and after phases of training
        after_step(objective, encoder, Progress(step, 20))
        objective(encoder, make_views(encoder, objective.needs, range(6))).total.backward()
        for key, parameter in parameters(encoder, objective):
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
            parameter.grad = None


@ALL
def test_state_round_trip_gives_the_same_next_loss(name):
    encoder, objective = make(name)
    views = make_views(encoder, objective.needs, range(6))
    objective(encoder, views).total.backward()
    after_step(objective, encoder, Progress(3, 20))
    other_encoder, other = make(name, seed=5)
    reload(encoder, other_encoder)
    reload(objective, other)
    assert objective.eval()(encoder, views).total == other.eval()(other_encoder, views).total


@ALL
def test_bfloat16_stays_near(name):
    encoder, objective = make(name)
    views = make_views(encoder, objective.needs, range(6))
    exact = objective.eval()(encoder, views).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = objective(encoder, views).total
    near.backward()
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, rtol=0.1, atol=0.1)


@ALL
def test_parts_are_detached_and_finite(name):
    encoder, objective = make(name)
    loss = objective(encoder, make_views(encoder, objective.needs, range(6)))
    assert loss.total.requires_grad
    assert all(part.isfinite() and not part.requires_grad for part in loss.parts.values())


@ALL
def test_great_weights_stay_finite(name):
    encoder, objective = make(name)
    with torch.no_grad():
        for _, parameter in parameters(encoder, objective):
            parameter.mul_(30.0)
    loss = objective(encoder, make_views(encoder, objective.needs, range(6))).total
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for _, p in parameters(encoder, objective))


@ALL
def test_the_global_seed_changes_nothing(name):
    """Without dropout, whatever is drawn follows from samples and the step."""
    encoder, objective = make(name)
    views = make_views(encoder, objective.needs, range(6))
    objective.eval()
    losses = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        losses.append(objective(encoder, views).total)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("name", ["simcse", "denosent", "ct_in_batch", "declutr", "space2", "vega"])
def test_gradient_caching_gives_the_same_gradient(name):
    found = []
    for micro_batch in (0, 2):
        encoder, objective = make(name, dtype=torch.float64)
        views = make_views(encoder, objective.needs, range(6))
        if micro_batch:
            cached_backward(objective, encoder, views, micro_batch, seed=0)
        else:
            objective(encoder, views).total.backward()
        found.append({key: p.grad for key, p in parameters(encoder, objective)})
    torch.testing.assert_close(found[1], found[0], rtol=1e-7, atol=1e-9)


@functools.cache
def loss_after(name, steps):
    encoder, objective = make(name)
    views = make_views(encoder, objective.needs, range(6))
    optimizer = torch.optim.AdamW([p for _, p in parameters(encoder, objective)], lr=3e-3, weight_decay=0.0)
    losses = []
    for _ in range(steps):
        loss = objective(encoder, views).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@ALL
def test_loss_falls(name):
    losses = loss_after(name, 30)
    assert min(losses[-3:]) < 0.95 * losses[0], losses
