"""How SimCLR, MoCo, Barlow Twins, VICReg, BYOL and SimSiam behave: ranks, state, precision, gradients."""

import functools

import pytest
import torch

from unlabeled.contract import Progress, after_step
from unlabeled.objectives.barlow_twins import BarlowTwins
from unlabeled.objectives.byol import BYOL, SimSiam
from unlabeled.objectives.lvm_med import LVMMed
from unlabeled.objectives.moco import MoCoV2, MoCoV3
from unlabeled.objectives.simclr import SimCLR
from unlabeled.objectives.vicreg import VICReg
from unlabeled.testing.conduct import assert_same, descend, reload, share
from unlabeled.testing.ranks import run_ranks
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views

MAKE = {
    "simclr": functools.partial(SimCLR, projector=(12, 6)),
    "simclr_chunked": functools.partial(SimCLR, projector=(12, 6), chunk=3),
    "moco_v2": functools.partial(MoCoV2, projector=(12, 6), queue=20),
    "moco_v2_symmetric": functools.partial(MoCoV2, projector=(12, 6), queue=21, symmetric=True, chunk=3),
    "moco_v3": functools.partial(MoCoV3, projector=(12, 12, 6), predictor=12),
    "moco_v3_chunked": functools.partial(MoCoV3, projector=(12, 12, 6), predictor=12, chunk=3),
    "barlow_twins": functools.partial(BarlowTwins, projector=(12, 6)),
    "lvm_med": functools.partial(LVMMed, projector=(12, 6), neighbors=2, rows=4),
    "vicreg": functools.partial(VICReg, projector=(12, 6)),
    "byol": functools.partial(BYOL, projector=(12, 6), predictor=12),
    "simsiam": functools.partial(SimSiam, projector=(12, 12, 6), predictor=4),
}
ALL = pytest.mark.parametrize("name", MAKE)
SYMMETRIC = [name for name in MAKE if name not in ("moco_v2", "lvm_med")]
UNUSED = "mask_token"  # nothing is hidden from the encoder here


def make(name, seed=0, dtype=torch.float32, norm="layer"):
    torch.manual_seed(seed)
    encoder = ToyEncoder(norm=norm)
    return encoder.to(dtype), MAKE[name](encoder).to(dtype)


def make_views(ids, dtype=torch.float32, count=2, **options):
    batch = toy_batch(ids)
    batch.x = batch.x.to(dtype)
    return toy_views(batch, ("global",) * count, **options)


def parameters(encoder, objective):
    yield from ((f"encoder.{n}", p) for n, p in encoder.named_parameters() if n != UNUSED)
    yield from ((n, p) for n, p in objective.named_parameters() if p.requires_grad)


def train(name, dtype, steps=3):
    """The encoder has BatchNorm."""
    encoder, objective = make(name, dtype=dtype, norm="batch")
    weights = dict(parameters(encoder, objective))
    return descend(encoder, objective, make_views(share(range(8)), dtype), weights, steps=steps, rate=0.1, of=10)


def train_all(_):
    return {name: [train(name, torch.float64), train(name, torch.float32, steps=1)] for name in MAKE}


@pytest.fixture(scope="module")
def on_ranks():
    return run_ranks(train_all, 2, 0)


@ALL
def test_two_ranks_equal_one_in_value_gradient_and_state(name, on_ranks):
    exact, rounded = train(name, torch.float64), train(name, torch.float32, steps=1)
    for result in on_ranks:
        assert_same(result[name][0], exact, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(result[name][1]["losses"], rounded["losses"], rtol=1e-5, atol=1e-6)
        ours, alone = (torch.cat([g.flatten() for g in r["first"].values()]) for r in (result[name][1], rounded))
        assert (ours - alone).norm() < 5e-5 * alone.norm()  # rounding, as the line in float64 shows


@ALL
def test_every_parameter_gets_a_gradient(name):
    encoder, objective = make(name)
    objective(encoder, make_views(range(6))).total.backward()
    for key, parameter in parameters(encoder, objective):
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key
    assert not any(p.requires_grad for n, p in objective.named_parameters() if n.startswith("teacher"))


@ALL
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("autocast", [False, True])
def test_loss_and_gradients_are_finite(name, scale, noise, autocast):
    """With identical views and with zero and large inputs; parts are plain numbers for the log."""
    encoder, objective = make(name)
    batch = toy_batch(range(6))
    batch.x *= scale
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = objective(encoder, toy_views(batch, noise=noise * scale))
    assert loss.total.dtype == torch.float32
    assert loss.total.shape == ()
    loss.total.backward()
    for value in (loss.total, *loss.parts.values()):
        assert value.isfinite()
        assert value is loss.total or not value.requires_grad
    for key, parameter in parameters(encoder, objective):
        assert parameter.grad.isfinite().all(), key


@ALL
def test_bfloat16_is_close_to_float32(name):
    encoder, objective = make(name)
    views = make_views(range(16))
    exact = objective(encoder, views).total
    step = 2 / 16 if name == "lvm_med" else 0.05  # which counts samples: rounding may swap the matches of two
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert objective(encoder, views).total.item() == pytest.approx(exact.item(), rel=0.1, abs=step)


@ALL
def test_collapsed_features_give_finite_gradients(name):
    """An encoder that gives zeros for everything, and one that gives one vector."""
    for value in (0.0, 1.0):
        encoder, objective = make(name)
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.fill_(value * 0.1)
        objective(encoder, make_views(range(6))).total.backward()
        assert all(p.grad.isfinite().all() for _, p in parameters(encoder, objective))


@pytest.mark.parametrize("name", SYMMETRIC)
def test_the_order_of_views_does_not_matter(name):
    encoder, objective = make(name)
    objective.eval()  # MoCo's queue takes in keys in the order of views
    views = make_views(range(6))
    one, other = objective(encoder, views), objective(encoder, views[::-1])
    torch.testing.assert_close(one.total, other.total, rtol=1e-5, atol=1e-6)


@ALL
def test_the_order_of_samples_does_not_matter(name):
    encoder, objective = make(name)
    order = [4, 2, 0, 5, 3, 1]
    one, other = objective(encoder, make_views(range(6))), objective(encoder, make_views(order))
    torch.testing.assert_close(one.total, other.total, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["simclr", "barlow_twins", "vicreg", "byol", "simsiam"])
def test_more_views_average_over_pairs(name):
    """With the third view equal to the first, pairs (0, 1) and (1, 2) agree: the mean of three pairs is known."""
    encoder, objective = make(name)
    first, second = make_views(range(6))
    ab = objective(encoder, [first, second]).total
    aa = objective(encoder, [first, first]).total
    three = objective(encoder, [first, second, first]).total
    if name == "vicreg":  # variance and covariance go over views, of which two are the first
        parts = [objective(encoder, v).parts["invariance"] for v in ([first, second], [first, second, first])]
        torch.testing.assert_close(parts[1], parts[0] * 2 / 3, rtol=1e-5, atol=1e-7)
        bb = objective(encoder, [second, second])
        own = 25.0 * bb.parts["variance"] + bb.parts["covariance"]
        expected = 25.0 * parts[0] * 2 / 3 + (2 * aa.detach() + own) / 3
        torch.testing.assert_close(three, expected, rtol=1e-5, atol=1e-6)
    else:
        torch.testing.assert_close(three, (2 * ab + aa) / 3, rtol=1e-5, atol=1e-6)


@ALL
def test_state_saved_and_loaded_gives_the_same_next_losses(name):
    encoder, objective = make(name)
    views = make_views(range(6))
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
def test_the_encoder_is_no_part_of_the_objective(name):
    encoder, objective = make(name)
    assert not {id(p) for p in objective.parameters()} & {id(p) for p in encoder.parameters()}


@pytest.mark.parametrize("name", [name for name in MAKE if name != "lvm_med"])  # which counts samples: its own test
def test_a_loss_falls_when_trained(name):
    encoder, objective = make(name)
    optimizer = torch.optim.Adam([p for _, p in parameters(encoder, objective)], lr=0.01)
    losses = []
    for step in range(45):
        # new samples each step: a queue that holds keys of the same samples would let no loss fall
        loss = objective(encoder, make_views(range(step * 16, step * 16 + 16), noise=0.5)).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after_step(objective, encoder, Progress(step + 1, 45))
        losses.append(loss.item())
    start, end = losses[5:10], losses[-5:]  # by step 5 a queue holds no random keys any more
    assert sum(end) / 5 < sum(start) / 5 - 0.02 * abs(sum(start)) / 5


@pytest.mark.parametrize("name", ["moco_v2", "moco_v3", "byol"])
def test_a_teacher_follows(name):
    """Its weights are momentum * old + (1 - momentum) * the student's, and without a step they stay."""
    encoder, objective = make(name)
    before = [p.clone() for p in objective.teacher.parameters()]
    with torch.no_grad():
        for parameter in (*encoder.parameters(), *objective.projector.parameters()):
            parameter.add_(1.0)
    after_step(objective, encoder, Progress(0, 10))
    for old, new in zip(before, objective.teacher.parameters(), strict=True):
        torch.testing.assert_close(new, old + (1.0 - objective.momentum), rtol=1e-4, atol=1e-5)


def test_ramped_momentum_ends_at_one():
    for name in ("moco_v3", "byol"):
        encoder, objective = make(name)
        before = [p.clone() for p in objective.teacher.parameters()]
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.add_(1.0)
        after_step(objective, encoder, Progress(10, 10))
        assert all(torch.equal(a, b) for a, b in zip(before, objective.teacher.parameters(), strict=True))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (functools.partial(SimCLR, temperature=0.0), "temperature is 0.0; it must be above 0"),
        (functools.partial(SimCLR, chunk=-1), "chunk is -1"),
        (functools.partial(SimCLR, projector=()), "widths are .8,.; a head has an input and an output"),
        (functools.partial(MoCoV2, queue=0), "queue is 0; it must be above 0"),
        (functools.partial(MoCoV2, momentum=1.1), "momentum is 1.1; it must be in .0, 1."),
        (functools.partial(MoCoV2, projector=()), "widths are"),
        (functools.partial(MoCoV3, temperature=-1.0), "temperature is -1.0"),
        (functools.partial(MoCoV3, predictor=0), "predictor is 0"),
        (functools.partial(MoCoV3, projector=()), "widths are"),
        (functools.partial(BarlowTwins, redundancy=-1.0), "redundancy is -1.0"),
        (functools.partial(VICReg, covariance=-1.0), "covariance is -1.0"),
        (functools.partial(BYOL, momentum=-0.1), "momentum is -0.1"),
        (functools.partial(BYOL, predictor=0), "predictor is 0"),
        (functools.partial(SimSiam, predictor=0), "predictor is 0"),
    ],
)
def test_a_wrong_setting_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build(ToyEncoder())
