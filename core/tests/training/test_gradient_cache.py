"""Gradient caching gives the full batch's gradient for every objective that couples the batch, on one rank and two."""

from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch import nn

from unlabeled.contract import Layout, Loss, Needs
from unlabeled.errors import UsageError
from unlabeled.nn.distributed import rank, world
from unlabeled.objectives.byol import BYOL
from unlabeled.objectives.simclr import SimCLR
from unlabeled.objectives.swav import SwAV
from unlabeled.testing.ranks import run_ranks
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_hide, toy_views
from unlabeled.training.gradient_cache import (
    CachedEncoder,
    _Call,
    cached_backward,
    concatenate,
    forward_cached,
    sync_gradients,
)

MAKE = {
    "simclr": lambda e: SimCLR(e, projector=(12, 6)),
    "byol": lambda e: BYOL(e, projector=(12, 6), predictor=12),
    "swav": lambda e: SwAV(e, hidden=16, dim=6, prototypes=10, queue=12),
}
ALL = pytest.mark.parametrize("name", MAKE)


def make(name, dropout=0.0, dtype=torch.float64):
    torch.manual_seed(0)
    encoder = ToyEncoder(dropout=dropout)
    return encoder.to(dtype), MAKE[name](encoder).to(dtype)


def make_views(ids, dtype=torch.float64):
    batch = toy_batch(ids)
    batch.x = batch.x.to(dtype)
    return toy_views(batch)


def gradients(*modules):
    return [p.grad for module in modules for p in module.parameters()]


def clear(*modules):
    for module in modules:
        module.zero_grad(set_to_none=True)


@ALL
@pytest.mark.parametrize("micro_batch", [1, 3, 100])
def test_gradient_equals_the_full_batch(name, micro_batch):
    encoder, objective = make(name)
    views = make_views(range(8))
    full = objective(encoder, views)
    full.total.backward()
    expected = gradients(encoder, objective)
    clear(encoder, objective)
    loss = cached_backward(objective, encoder, views, micro_batch, seed=1)
    torch.testing.assert_close(loss.total, full.total, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients(encoder, objective), expected, rtol=1e-8, atol=1e-11)


class OnePass(CachedEncoder):
    """The same chunks with the same dropout, but with a graph: the whole gradient in one backward pass."""

    def __call__(self, view, *, hide="mask", layers=()):
        self._count += 1
        call = _Call(view, hide, tuple(layers), [], [])
        return concatenate(list(self._chunks(call, self._count - 1)), view.layout)


@ALL
def test_both_passes_draw_the_same_dropout(name):
    encoder, objective = make(name, dropout=0.3)
    views = make_views(range(8))
    torch.manual_seed(9)  # a teacher draws its dropout from the step's own generator
    expected = objective(OnePass(encoder, 3, seed=5), views).total
    expected.backward()
    one_pass = gradients(encoder, objective)
    clear(encoder, objective)
    torch.manual_seed(9)
    loss = cached_backward(objective, encoder, views, 3, seed=5).total
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients(encoder, objective), one_pass, rtol=1e-8, atol=1e-11)
    torch.manual_seed(9)
    assert not torch.equal(forward_cached(objective, encoder, views, 3, 6)[0].total, loss)  # there was dropout


def test_dropout_differs_between_seeds_calls_and_chunks_and_leaves_the_generator_alone():
    torch.manual_seed(0)
    encoder = ToyEncoder(dropout=0.5)
    batch = toy_batch([3, 3, 3, 3])  # one sample four times: without dropout all outputs agree
    (view,) = toy_views(batch, ("global",))
    state = torch.get_rng_state()
    stand_in = CachedEncoder(encoder, 1, seed=0)
    first, second = stand_in(view).pooled, stand_in(view).pooled
    other = CachedEncoder(encoder, 1, seed=2**40)(view).pooled  # the CPU generator ignores the high half of a seed
    assert len(torch.cat((first, second, other)).unique(dim=0)) == 12
    assert torch.equal(first, CachedEncoder(encoder, 1, seed=0)(view).pooled)
    assert torch.equal(torch.get_rng_state(), state)


# ---------------------------------------------------------------------------------------------- the stand-in


class EverythingCoupled(nn.Module):
    """A loss over tokens, prefix, pooled and layers of hidden and of dropped rows, coupled over the batch."""

    needs = Needs(views={"global": 1}, couples=True)

    def forward(self, encoder, views):
        seen, hidden = views[0], toy_hide(views[0], 5)
        masked = encoder(hidden, layers=(0, 1))
        dropped = encoder(hidden, hide="drop")
        with torch.no_grad():
            target = encoder(seen).pooled
        assert dropped.kept is not None
        rest = seen.layout.total - len(hidden.hidden)
        assert dropped.tokens.shape == (rest, encoder.dim)
        assert dropped.layout.lengths == dropped.kept.lengths
        assert torch.equal(dropped.kept.index, hidden.hidden.complement(seen.layout).index)
        assert torch.equal(dropped.layout.position, seen.layout.position[dropped.kept.index])
        vectors = [
            masked.pooled - target,
            masked.layers[0].prefix[:, 0],
            masked.layers[1].layout.mean(masked.layers[1].tokens),
            dropped.layout.mean(dropped.tokens),
        ]
        x = torch.cat(vectors, dim=1)
        return Loss((x @ x.T).square().mean(), {})


def test_every_part_of_the_features_carries_gradients():
    torch.manual_seed(0)
    encoder, objective = ToyEncoder().double(), EverythingCoupled()
    batch = toy_batch(range(7))
    batch.x = batch.x.double()
    views = toy_views(batch, ("global",), encoder)
    full = objective(encoder, views)
    full.total.backward()
    expected = gradients(encoder)
    assert all(g is not None for g in expected)
    clear(encoder)
    loss = cached_backward(objective, encoder, views, 2, seed=0)
    torch.testing.assert_close(loss.total, full.total, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients(encoder), expected, rtol=1e-9, atol=1e-12)


def test_features_equal_those_of_one_pass():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    (view,) = toy_views(toy_batch(range(5), (6, 4)), ("global",), encoder)
    layout = replace(
        view.layout,
        maskable=replace(view.layout.all, index=view.layout.all.index[view.layout.within > 0], lengths=(5,) * 5),
    )
    view = replace(toy_hide(view, 2), layout=layout)
    whole, chunked = encoder(view, layers=(1,)), CachedEncoder(encoder, 2, seed=0)(view, layers=(1,))
    for a, b in ((whole, chunked), (whole.layers[0], chunked.layers[0])):
        for name in ("tokens", "pooled", "prefix"):
            torch.testing.assert_close(getattr(a, name), getattr(b, name))
        assert a.layout.lengths == b.layout.lengths
        assert a.layout.grid == b.layout.grid
        assert torch.equal(a.layout.position, b.layout.position)
        assert torch.equal(a.layout.maskable.index, b.layout.maskable.index)
        assert a.layout.maskable.lengths == b.layout.maskable.lengths


def test_the_encoder_sees_chunks_only_and_builds_no_graph_before_the_replay():
    torch.manual_seed(0)
    encoder, objective = make("simclr")
    seen = []
    encoder.register_forward_hook(lambda module, args, out: seen.append((len(args[0]), torch.is_grad_enabled())))
    views = make_views(range(8))
    loss, replay = forward_cached(objective, encoder, views, 3, 0)
    assert seen == [(3, False), (3, False), (2, False)] * 2
    loss.total.backward()
    assert all(p.grad is None for p in encoder.parameters())
    seen.clear()
    replay()
    assert seen == [(3, True), (3, True), (2, True)] * 2


def test_a_scaled_loss_scales_every_gradient():
    encoder, objective = make("simclr")
    views = make_views(range(8))
    cached_backward(objective, encoder, views, 3, seed=0)
    plain = gradients(encoder, objective)
    clear(encoder, objective)
    cached_backward(objective, encoder, views, 3, seed=0, scale=1024.0)
    for one, scaled in zip(plain, gradients(encoder, objective), strict=True):
        assert (one is None) == (scaled is None)
        if one is not None:
            torch.testing.assert_close(scaled, 1024.0 * one)


def test_gradients_add_up_to_those_that_are_there():
    encoder, objective = make("simclr")
    views = make_views(range(8))
    cached_backward(objective, encoder, views, 3, seed=0)
    once = [None if g is None else g.clone() for g in gradients(encoder)]
    cached_backward(objective, encoder, views, 3, seed=0)
    torch.testing.assert_close(gradients(encoder), [None if g is None else 2 * g for g in once])


def test_autocast_of_the_forward_holds_in_the_replay():
    """Lightning's backward runs outside autocast; the second pass must still be in bfloat16, with all gradients."""
    encoder, objective = make("simclr", dtype=torch.float32)
    views = make_views(range(8), torch.float32)
    dtypes = []
    encoder.embed.register_forward_hook(lambda module, args, out: dtypes.append(out.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        objective(encoder, views).total.backward()
    expected = torch.cat([g.flatten() for g in gradients(encoder) if g is not None])
    clear(encoder, objective)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, replay = forward_cached(objective, encoder, views, 3, 0)
    loss.total.backward()
    replay()
    assert set(dtypes) == {torch.bfloat16}
    found = torch.cat([g.flatten() for g in gradients(encoder) if g is not None])
    assert found.shape == expected.shape
    assert torch.cosine_similarity(found, expected, dim=0) > 0.99


def test_other_attributes_are_the_encoders():
    encoder = ToyEncoder(dim=8)
    stand_in = CachedEncoder(encoder, 2, seed=0)
    assert stand_in.dim == 8
    assert stand_in.can == encoder.can
    assert stand_in.layout(toy_batch(range(2))).total == 2 * 16
    assert [id(p) for p in stand_in.parameters()] == [id(p) for p in encoder.parameters()]
    with pytest.raises(AttributeError, match="nonsense"):
        _ = stand_in.nonsense


# ---------------------------------------------------------------------------------------------- refusals


def test_an_objective_that_needs_gradients_through_the_encoder_is_refused():
    _, objective = make("simclr", dtype=torch.float32)
    objective.needs = replace(objective.needs, through=True)
    with pytest.raises(UsageError, match=r"gradients through the encoder.*--accumulate"):
        cached_backward(objective, ToyEncoder(), make_views(range(8), torch.float32), 3, seed=0)


@pytest.mark.parametrize("kind", ["ours", "torch"])
def test_batchnorm_is_refused_with_the_remedy(kind):
    _, objective = make("simclr", dtype=torch.float32)
    encoder = ToyEncoder(norm="batch")
    if kind == "torch":
        encoder.blocks[1].norm = nn.BatchNorm1d(8)
    views = make_views(range(8), torch.float32)
    with pytest.raises(UsageError, match=r"blocks\.0\.norm is a BatchNorm.*LayerNorm or GroupNorm.*--accumulate"):
        cached_backward(objective, encoder, views, 3, seed=0)
    encoder.eval()  # normalizes with what it has: no sample sees another
    cached_backward(objective, encoder, views, 3, seed=0)
    assert encoder.embed.weight.grad is not None


def test_views_that_cannot_be_cut_are_refused_with_the_reason():
    encoder, objective = make("simclr")
    views = make_views(range(8))
    layout = Layout((16 * 8,), torch.zeros(16 * 8, 2, dtype=torch.float64))  # all samples in one graph
    with pytest.raises(UsageError, match="cannot be cut: only a view whose samples are its groups"):
        cached_backward(objective, encoder, [replace(view, layout=layout) for view in views], 3, seed=0)


def test_a_micro_batch_of_nothing_is_refused():
    encoder, objective = make("simclr")
    with pytest.raises(ValueError, match="micro_batch is 0; it must be above 0"):
        cached_backward(objective, encoder, make_views(range(8)), 0, seed=0)


# ---------------------------------------------------------------------------------------------- ranks


def on_rank():
    """Gradients of each objective by caching, averaged over ranks once."""
    found = {}
    share = 8 // world()
    for name in MAKE:
        encoder, objective = make(name)
        views = make_views(range(rank() * share, (rank() + 1) * share))
        loss = cached_backward(objective, encoder, views, 3, seed=rank()).total.detach()
        sync_gradients([*encoder.parameters(), *objective.parameters()])
        if world() > 1:
            dist.all_reduce(loss)
        found[name] = {"loss": loss / world(), "grads": gradients(encoder, objective)}
    return found


@pytest.fixture(scope="module")
def two_ranks():
    return run_ranks(on_rank, 2)


@ALL
def test_two_ranks_equal_the_full_batch_on_one(name, two_ranks):
    encoder, objective = make(name)
    loss = objective(encoder, make_views(range(8))).total
    loss.backward()
    for result in two_ranks:
        torch.testing.assert_close(result[name]["loss"], loss.detach(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(result[name]["grads"], gradients(encoder, objective), rtol=1e-8, atol=1e-11)
