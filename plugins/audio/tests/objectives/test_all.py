"""What every objective promises: a gradient for each parameter, 2 ranks = 1 rank, a state that comes back, no NaN."""

from dataclasses import fields, replace

import pytest
import torch
from torch import nn

from unlabeled.contract import Progress, after_step
from unlabeled.objectives.cola import COLA
from unlabeled.objectives.dinosr import DinoSR
from unlabeled.objectives.eat import EAT
from unlabeled.objectives.hubert import HuBERT, SoftUnits
from unlabeled.objectives.hubertopic import HuBERTopic
from unlabeled.objectives.mert import MERT
from unlabeled.objectives.ssast import SSAST
from unlabeled.objectives.vq_wav2vec import VQWav2Vec
from unlabeled.objectives.wav2vec2 import Wav2Vec2
from unlabeled.testing.conduct import assert_same, descend, reload, share
from unlabeled.testing.ranks import run_ranks
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_hide, toy_views
from unlabeled_audio.encoders.rows import AudioFeatures
from unlabeled_audio.objectives.atst_frame import ATSTBoth, ATSTFrame
from unlabeled_audio.objectives.beats import BEATs, BEATsTokenizer
from unlabeled_audio.objectives.invariant_units import InvariantUnits
from unlabeled_audio.objectives.unfused import UnFuSeD

UNITS, BOOKS, FRAMES, CONTENT = 4, 2, 12, 6


class LocalToy(ToyEncoder):
    """The toy encoder with features of a convolutional front end."""

    local_dim = 5

    def __init__(self):
        super().__init__(CONTENT)
        self.local = nn.Linear(CONTENT, self.local_dim)

    def forward(self, view, **options):
        out = super().forward(view, **options)
        local = self.local(view.batch.x.flatten(0, 1))
        kept = {f.name: getattr(out, f.name) for f in fields(out)}
        return AudioFeatures(**kept, local=local, normed=nn.functional.layer_norm(local, local.shape[1:]))


class Head(nn.Linear):
    """The smallest decoder: one layer, whatever the layout."""

    def __init__(self, dim, width):
        super().__init__(dim, width)

    def forward(self, tokens, layout):
        return super().forward(tokens)


SMALL = {"width": 8}
MAKE = {
    "hubert": lambda e: HuBERT(e, UNITS, **SMALL, visible=0.5),
    "best_rq": lambda e: HuBERT(e, UNITS, scores="linear"),
    "books": lambda e: HuBERT(e, UNITS, **SMALL, books=BOOKS),
    "soft_units": lambda e: SoftUnits(e, UNITS, **SMALL),
    "wav2vec2": lambda e: Wav2Vec2(e, width=8, code_width=6, groups=2, entries=3, distractors=4),
    "vq_wav2vec": lambda e: VQWav2Vec(e, width=6, groups=2, entries=3, steps=3, negatives=4, depth=2, kernel=3),
    "dinosr": lambda e: DinoSR(e, layers=2, entries=5),
    "beats": lambda e: BEATs(e, Head, UNITS),
    "beats_tokenizer": lambda e: BEATsTokenizer(e, Head, entries=5, width=6),
    "ssast": lambda e: SSAST(e, CONTENT),
    "atst_frame": lambda e: ATSTFrame(e, projector=(8, 6), predictor=8),
    "atst_both": lambda e: ATSTBoth(e, projector=(8, 6), predictor=8),
    "eat": lambda e: EAT(e, Head, layers=2),
    "mert": lambda e: MERT(e, CONTENT, UNITS, width=4, books=BOOKS),
    "hubertopic": lambda e: HuBERTopic(e, UNITS, 100, width=8, topics=3),
    "unfused": lambda e: UnFuSeD(e, clusters=3),
    "invariant_units": lambda e: InvariantUnits(e, UNITS, hidden=8),
    "frozen_units": lambda e: InvariantUnits(e, UNITS, hidden=8, frozen=True),
    "cola": lambda e: COLA(e, width=6),
}
ROLES = {
    "invariant_units": ("source", "altered"),
    "frozen_units": ("source", "altered"),
    "cola": ("global", "global"),
    "atst_frame": ("global",) * 2,
    "atst_both": ("global",) * 2,
}
NEED_LOCAL = ("wav2vec2", "hubert")


def make(name, ids, scale=1.0, dtype=torch.float32):
    torch.manual_seed(0)
    encoder = LocalToy() if name in NEED_LOCAL else ToyEncoder(CONTENT)
    objective = MAKE[name](encoder)
    encoder.to(dtype), objective.to(dtype)
    batch = toy_batch(ids, (FRAMES, CONTENT))
    views = toy_views(replace(batch, x=batch.x.to(dtype)), ROLES.get(name, ("global",)), encoder)
    done = []
    for number, view in enumerate(views):
        units = (view.content[:, :4] > 0).long() @ torch.tensor([[1, 0], [2, 0], [0, 1], [0, 2]])
        units = units if name in ("books", "mert") else units[:, 0]
        view = replace(view, ids=units, content=view.content * scale)
        view = replace(view, batch=replace(view.batch, x=view.batch.x * scale))
        done.append(toy_hide(view, 5, seed=number) if objective.needs.hidden else view)
    return encoder, objective, done


def train(name):
    encoder, objective, views = make(name, share(range(8)), dtype=torch.float64)
    named = [*encoder.named_parameters(prefix="encoder"), *objective.named_parameters(prefix="objective")]
    encoder.mask_token.requires_grad_("mask" in objective.needs.encoder)
    weights = {key: p for key, p in named if p.requires_grad and not key.startswith("encoder.cls")}
    return descend(encoder, objective, views, weights, steps=2, of=10)


def train_all():
    return {name: train(name) for name in MAKE}


@pytest.fixture(scope="module")
def on_ranks():
    return run_ranks(train_all, 2)


@pytest.mark.parametrize("name", MAKE)
def test_two_ranks_equal_one(name, on_ranks):
    alone = train(name)
    for result in on_ranks:
        assert_same(result[name], alone, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("name", MAKE)
def test_every_parameter_gets_a_finite_gradient_and_parts_are_detached(name):
    encoder, objective, views = make(name, range(4))
    encoder.mask_token.requires_grad_("mask" in objective.needs.encoder)
    loss = objective(encoder, views)
    assert not any(part.requires_grad for part in loss.parts.values())
    loss.total.backward()
    named = [*encoder.named_parameters(prefix="encoder"), *objective.named_parameters(prefix="objective")]
    for key, parameter in named:
        if parameter.requires_grad and not key.startswith("encoder.cls"):
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", MAKE)
def test_the_state_comes_back(name):
    encoder, objective, views = make(name, range(4))
    objective(encoder, views)
    after_step(objective, encoder, Progress(3, 10))
    encoder2, other, _ = make(name, range(4))
    reload(encoder, encoder2)
    reload(objective, other)
    expected, found = (o(e, views).total for o, e in ((objective, encoder), (other, encoder2)))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("scale", [0.0, 1e4])
@pytest.mark.parametrize("name", MAKE)
def test_silence_and_loud_input_stay_finite(name, scale):
    encoder, objective, views = make(name, range(4), scale)
    loss = objective(encoder, views)
    loss.total.backward()
    assert loss.total.isfinite()
    assert all(p.grad.isfinite().all() for p in objective.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", MAKE)
def test_half_precision_is_near(name):
    encoder, objective, views = make(name, range(4))
    exact = objective(encoder, views).total
    encoder, objective, views = make(name, range(4))
    with torch.autocast("cpu", torch.bfloat16):
        rough = objective(encoder, views).total
    rough.backward()
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("name", MAKE)
def test_a_sample_does_not_depend_on_the_order_of_the_batch(name):
    encoder, objective, views = make(name, [3, 1, 2, 0])
    found = objective(encoder, views).total
    encoder, objective, views = make(name, [0, 1, 2, 3])
    torch.testing.assert_close(objective(encoder, views).total, found, rtol=1e-5, atol=1e-6)
