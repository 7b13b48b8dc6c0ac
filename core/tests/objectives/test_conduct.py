"""How SwAV, DINO, LeJEPA, MAE, SimMIM, I-JEPA and data2vec behave: ranks, state, precision, gradients."""

import functools
from dataclasses import replace

import pytest
import torch
from torch import nn

from unlabeled.contract import Progress, Rows, after_step
from unlabeled.draw import Draw
from unlabeled.masks.rows import choose, gather_rows, keys
from unlabeled.objectives.data2vec import Data2Vec
from unlabeled.objectives.dino import DINO
from unlabeled.objectives.i_jepa import IJEPA
from unlabeled.objectives.lejepa import LeJEPA
from unlabeled.objectives.mae import MAE
from unlabeled.objectives.simmim import SimMIM
from unlabeled.objectives.swav import SwAV
from unlabeled.testing.conduct import assert_same, descend, reload, share
from unlabeled.testing.ranks import run_ranks
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views

CONTENT = 4
CROPS = ("global", "global", "local")


class Decoder(nn.Module):
    """A decoder that lets rows see each other."""

    def __init__(self, dim, width):
        super().__init__()
        self.mix, self.out = nn.Linear(dim, dim), nn.Linear(dim, width)

    def forward(self, tokens, layout):
        return self.out(tokens + self.mix(layout.mean(tokens))[layout.group])


MAKE = {
    "swav": lambda e: SwAV(e, hidden=16, dim=6, prototypes=10, freeze=0.05),
    "swav_queue": lambda e: SwAV(e, hidden=16, dim=6, prototypes=10, queue=12, queue_start=0.1, freeze=0),
    "dino": lambda e: DINO(e, hidden=16, bottleneck=6, prototypes=12, warmup_temperature=0.02, freeze_last=0.05),
    "lejepa": lambda e: LeJEPA(e, hidden=16, dim=6, slices=32),
    "mae": lambda e: MAE(e, Decoder, CONTENT),
    "simmim": lambda e: SimMIM(e, CONTENT),
    "i_jepa": lambda e: IJEPA(e, width=12, depth=2, heads=2),
    "data2vec": lambda e: Data2Vec(e, layers=2),
    "data2vec_instance": lambda e: Data2Vec(e, layers=1, norm="instance", beta=0),
}
ALL = pytest.mark.parametrize("name", MAKE)


def make(name, seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    encoder = ToyEncoder(CONTENT)
    return encoder.to(dtype), MAKE[name](encoder).to(dtype)


def rows_by_id(view, fewest, spread, purpose, among=None):
    """Rows of which each sample has a number that follows from its id."""
    layout = view.layout if among is None else replace(view.layout, maskable=among)
    counts = tuple(int(fewest + i % spread) for i in view.batch.ids)
    return choose(keys(layout, Draw(0, 0, view.batch.ids), purpose), layout, counts)


def make_views(encoder, needs, ids, scale=1.0, dtype=torch.float32):
    """Crops, or one masked view; the samples hide different numbers of rows."""
    batch = toy_batch(ids)
    batch.x = (batch.x * scale).to(dtype)
    if not needs.hidden:
        return toy_views(batch, CROPS, encoder, noise=0.3 * scale)
    (view,) = toy_views(batch, ("global",), encoder, noise=0.0)
    first = rows_by_id(view, 2, 3, 1100)
    if not needs.predict:
        return [replace(view, hidden=first)]
    second = rows_by_id(view, 3, 2, 1101)
    both = first.flags(view.layout.total) | second.flags(view.layout.total)
    hidden = gather_rows(both, torch.bincount(view.layout.group[both], minlength=len(ids)).tolist())
    return [replace(view, hidden=hidden, predict=(first, second))]


def parameters(encoder, objective):
    yield from ((f"encoder.{n}", p) for n, p in encoder.named_parameters() if n != "mask_token")
    yield from ((n, p) for n, p in objective.named_parameters() if p.requires_grad)


def train(name):
    encoder, objective = make(name, dtype=torch.float64)
    views = make_views(encoder, objective.needs, share(range(8)), dtype=torch.float64)
    return descend(encoder, objective, views, dict(parameters(encoder, objective)), rate=0.1)


def train_all():
    return {name: train(name) for name in MAKE}


@pytest.fixture(scope="module")
def on_ranks():
    return run_ranks(train_all, 2)


@ALL
def test_two_ranks_equal_one_in_value_gradient_and_state(name, on_ranks):
    alone = train(name)
    for result in on_ranks:
        assert_same(result[name], alone, rtol=1e-7, atol=1e-10)


@ALL
def test_every_parameter_gets_a_gradient(name):
    encoder, objective = make(name)
    after_step(objective, encoder, Progress(5, 10))
    objective(encoder, make_views(encoder, objective.needs, range(6))).total.backward()
    for key, parameter in parameters(encoder, objective):
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key
    assert not any(p.requires_grad for n, p in objective.named_parameters() if n.startswith("teacher"))


@ALL
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_and_gradients_are_finite(name, scale, dtype):
    encoder, objective = make(name)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        loss = objective(encoder, make_views(encoder, objective.needs, range(6), scale))
    assert loss.total.dtype == torch.float32
    assert loss.total.shape == ()
    loss.total.backward()
    for value in (loss.total, *loss.parts.values()):
        assert value.isfinite()
        assert value is loss.total or not value.requires_grad
    for key, parameter in parameters(encoder, objective):
        assert parameter.grad is None or parameter.grad.isfinite().all(), key


@ALL
def test_bfloat16_is_close_to_float32(name):
    encoder, objective = make(name)
    views = make_views(encoder, objective.needs, range(6))
    exact = objective(encoder, views).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert objective(encoder, views).total.item() == pytest.approx(exact.item(), rel=0.05, abs=0.02)


@ALL
def test_state_saved_and_loaded_gives_the_same_next_losses(name):
    encoder, objective = make(name)
    views = make_views(encoder, objective.needs, range(6))
    for step in range(3):
        objective(encoder, views)
        after_step(objective, encoder, Progress(step + 1, 10))
    _, other = make(name, seed=7)
    reload(objective, other)
    for step in range(3, 6):
        assert torch.equal(objective(encoder, views).total, other(encoder, views).total)
        for each in (objective, other):
            after_step(each, encoder, Progress(step + 1, 10))


@ALL
def test_evaluation_changes_no_state(name):
    encoder, objective = make(name)
    views = make_views(encoder, objective.needs, range(6))
    objective.eval()
    before = {k: v.clone() for k, v in objective.state_dict().items()}
    first = objective(encoder, views).total
    assert torch.equal(first, objective(encoder, views).total)
    after_step(objective, encoder, Progress(0, 10))
    for key, value in objective.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=1e-6, msg=key)


@ALL
def test_a_loss_couples_the_batch_exactly_where_it_says_so(name):
    """Where it does not, the loss of a batch is the mean of its samples' losses, by predicted rows where rows count."""
    encoder, objective = make(name, dtype=torch.float64)
    views = make_views(encoder, objective.needs, range(6), dtype=torch.float64)
    objective(encoder, views)
    after_step(objective, encoder, Progress(1, 10))  # DINO's first step centers by the batch at hand
    whole = objective(encoder, views).total
    parts = [[view.cut(i, i + 2) for view in views] for i in range(0, 6, 2)]
    weights = torch.tensor([float(sum(len(r) for r in p[0].targets) or len(p[0])) for p in parts])
    losses = torch.stack([objective(encoder, part).total for part in parts])
    alike = torch.isclose((losses * weights).sum() / weights.sum(), whole, rtol=1e-9)
    assert alike.item() != objective.needs.couples


@ALL
def test_the_encoder_is_no_part_of_the_objective(name):
    encoder, objective = make(name)
    ours = {id(p) for p in objective.parameters()}
    assert not ours & {id(p) for p in encoder.parameters()}


@pytest.mark.parametrize("name", ["mae", "simmim", "i_jepa", "data2vec"])
def test_nothing_hidden_costs_nothing(name):
    """A batch whose samples have too few rows to hide any: the loss is 0 and gradients are 0, not nan."""
    encoder, objective = make(name)
    (view,) = make_views(encoder, objective.needs, range(3))
    none = Rows(torch.zeros(0, dtype=torch.int64), (0, 0, 0))
    loss = objective(encoder, [replace(view, hidden=none, predict=(none,) if view.predict else ())]).total
    loss.backward()
    assert loss.item() == 0
    assert all((p.grad == 0).all() for p in objective.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", ["mae", "simmim", "data2vec"])
def test_a_loss_falls_when_trained(name):
    encoder, objective = make(name)
    views = make_views(encoder, objective.needs, range(16))
    optimizer = torch.optim.Adam([p for _, p in parameters(encoder, objective)], lr=0.01)
    losses = []
    for step in range(30):
        loss = objective(encoder, views).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after_step(objective, encoder, Progress(step + 1, 30))
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (functools.partial(SwAV, temperature=0.0), "temperature is 0.0; it must be above 0"),
        (functools.partial(SwAV, prototypes=1), "prototypes is 1; it must be above 1"),
        (functools.partial(SwAV, queue=-1), "queue is -1"),
        (functools.partial(SwAV, freeze=2.0), "freeze is 2.0"),
        (functools.partial(DINO, teacher_temperature=0.0), "teacher_temperature is 0.0"),
        (functools.partial(DINO, momentum=1.5), "momentum is 1.5"),
        (functools.partial(LeJEPA, weight=1.5), "weight is 1.5"),
        (functools.partial(LeJEPA, knots=1), "knots is 1; it must be above 1"),
        (functools.partial(IJEPA, width=10, heads=3), "heads must divide the width"),
        (functools.partial(IJEPA, momentum=-1.0), "momentum is -1.0"),
        (functools.partial(Data2Vec, layers=0), "layers is 0"),
        (functools.partial(Data2Vec, beta=-1.0), "beta is -1.0"),
        (functools.partial(Data2Vec, ramp=1.1), "ramp is 1.1"),
    ],
)
def test_a_wrong_setting_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build(ToyEncoder(CONTENT))
