"""Collectives carry exact gradients; BatchNorm over ranks is torch's on the whole batch."""

import copy

import pytest
import torch
from torch import nn

from unlabeled.errors import UsageError
from unlabeled.nn.distributed import (
    BatchNorm,
    all_reduce,
    convert_batchnorm,
    gather,
    mean_over_ranks,
    rank,
    union_mean,
    union_moments,
    world,
)
from unlabeled.testing.ranks import run_ranks

KINDS = [nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d]
SHAPES = [(8, 3), (8, 3, 5), (8, 3, 4, 4), (8, 3, 2, 2, 2)]


def test_without_a_process_group_there_is_one_rank():
    x = torch.randn(3, requires_grad=True)
    assert (world(), rank()) == (1, 0)
    assert gather(x) is x
    assert all_reduce(x) is x
    assert mean_over_ranks(x) is x


# ---------------------------------------------------------------------------------------------- what ranks compute


def part(x):
    return x.chunk(world())[rank()].clone()


def coupled(x, keys):
    """A loss that is a mean over own rows against the rows of all."""
    return torch.logsumexp(x @ keys.T, 1).mean()


def through_gather():
    torch.manual_seed(1)
    x = part(torch.randn(8, 3, dtype=torch.float64)).requires_grad_()
    loss = coupled(x, gather(x))
    loss.backward()
    return {"loss": mean_over_ranks(loss.detach()), "grad": gather(x.grad) / world()}


def through_all_reduce():
    torch.manual_seed(1)
    x = part(torch.randn(8, 3, dtype=torch.float64)).requires_grad_()
    loss = (all_reduce(x.T @ x) / 8).square().sum()
    loss.backward()
    return {"loss": mean_over_ranks(loss.detach()), "grad": gather(x.grad) / world()}


def gathered_kinds():
    return {
        "int": gather(torch.tensor([rank()])),
        "strided": gather(torch.arange(6.0).reshape(2, 3).T + 10 * rank()),
        "bfloat16": all_reduce(torch.ones(2, dtype=torch.bfloat16)).float(),
    }


def normalized(shape, options, steps=3, dtype=torch.float64):
    """Output, gradients and state of a BatchNorm after some steps, and its output in evaluation."""
    torch.manual_seed(2)
    norm = BatchNorm(shape[1], **options).to(dtype)
    if norm.affine:
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    for step in range(steps):
        whole = (torch.randn(shape, dtype=torch.float64) * 3 + 100 * step).to(dtype)
        weight = torch.randn(shape, dtype=torch.float64).to(dtype)
        x = part(whole).requires_grad_()
        norm.zero_grad()
        out = norm(x)
        (out * part(weight)).sum().backward()
    grads = {name: all_reduce(p.grad) for name, p in norm.named_parameters()}
    found = {"out": gather(out.detach()), "grad": gather(x.grad), **grads, **dict(norm.state_dict())}
    norm.eval()
    return found | {"eval": gather(norm(part(whole)).detach())}


OPTIONS = {
    "plain": {},
    "no affine": {"affine": False},
    "cumulative": {"momentum": None},
    "no tracking": {"track_running_stats": False},
}


def uneven():
    """Moments where ranks hold 5 and 3 rows."""
    torch.manual_seed(3)
    whole = torch.randn(8, 4, 2, dtype=torch.float64)
    x = (whole if world() == 1 else whole[:5] if rank() == 0 else whole[5:]).clone().requires_grad_()
    mean, variance, count = union_moments(x)
    (mean.sin().sum() + variance.square().sum()).backward()
    # every rank computes the whole loss, so gradients add up world times
    size = 5 if world() > 1 and rank() == 0 else len(x)
    grad = torch.zeros(8, 4, 2, dtype=torch.float64)
    start = 0 if rank() == 0 else 5
    grad[start : start + size] = x.grad / world()
    return {"mean": mean.detach(), "variance": variance.detach(), "count": count.detach(), "grad": all_reduce(grad)}


def half_precision():
    torch.manual_seed(4)
    norm = BatchNorm(3)
    return {"out": gather(norm(part(torch.randn(8, 3)).bfloat16()).detach())}


def everything():
    found = {"gather": through_gather(), "all_reduce": through_all_reduce(), "kinds": gathered_kinds()}
    found |= {"uneven": uneven(), "half": half_precision()}
    for shape in SHAPES:
        for name, options in OPTIONS.items():
            found[f"{shape} {name}"] = normalized(shape, options)
    found["float32"] = normalized((8, 3, 4), {}, dtype=torch.float32)
    return found


@pytest.fixture(scope="module")
def two():
    return run_ranks(everything, 2)


@pytest.mark.parametrize("name", ["gather", "all_reduce", "uneven", *(f"{s} {n}" for s in SHAPES for n in OPTIONS)])
def test_two_ranks_equal_one(two, name):
    alone = everything()[name]
    for found in two:
        torch.testing.assert_close(found[name], alone, rtol=1e-9, atol=1e-10)


def test_two_ranks_equal_one_in_float32(two):
    """With a mean that is 70 deviations from 0, where a sum of squares would lose its digits."""
    for found in two:
        torch.testing.assert_close(found["float32"], everything()["float32"], rtol=1e-4, atol=1e-4)


def test_kinds_of_tensors(two):
    for found in two:
        assert found["kinds"]["int"].tolist() == [0, 1]
        assert found["kinds"]["strided"].tolist() == [[0, 3], [1, 4], [2, 5], [10, 13], [11, 14], [12, 15]]
        assert found["kinds"]["bfloat16"].tolist() == [2, 2]


def test_bfloat16_in_bfloat16_out(two):
    alone = half_precision()["out"]
    assert alone.dtype == torch.bfloat16
    for found in two:
        torch.testing.assert_close(found["half"]["out"], alone, rtol=0.02, atol=0.02)


# ---------------------------------------------------------------------------------------------- one rank


@pytest.mark.parametrize(("shape", "kind"), list(zip(SHAPES, KINDS)))
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_one_rank_is_torchs_own(shape, kind, options):
    torch.manual_seed(0)
    ours, theirs = BatchNorm(shape[1], **options), kind(shape[1], **options)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for training in (True, True, False):
        ours.train(training), theirs.train(training)
        x = torch.randn(shape) + 3
        assert torch.equal(ours(x), theirs(x))
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key


def test_too_few_dimensions_are_named():
    with pytest.raises(ValueError, match=r"takes x\[N, C, ...\]; found shape \(5,\)"):
        BatchNorm(5)(torch.randn(5))


# ---------------------------------------------------------------------------------------------- conversion


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.LazyLinear(4), nn.BatchNorm1d(4))


def test_conversion_keeps_parameters_state_and_output():
    x = torch.randn(6, 2, 5, 5)
    plain = network()
    plain(x)
    converted = copy.deepcopy(plain)
    parameters, keys = [id(p) for p in converted.parameters()], list(converted.state_dict())
    assert convert_batchnorm(converted) is converted
    assert sum(isinstance(m, BatchNorm) for m in converted.modules()) == 2
    assert [id(p) for p in converted.parameters()] == parameters
    assert list(converted.state_dict()) == keys
    for training in (True, False):
        plain.train(training), converted.train(training)
        assert torch.equal(plain(x), converted(x))


def test_a_lone_batchnorm_is_converted_too():
    assert isinstance(convert_batchnorm(nn.BatchNorm1d(3)), BatchNorm)


def timm_on_ranks():
    """A network with timm's BatchNormAct2d: gradient of a weight, averaged over ranks."""
    import timm  # takes seconds, so not on every rank of the other tests

    found = {}
    for name in ("resnet10t", "test_efficientnet"):
        torch.manual_seed(0)
        model = convert_batchnorm(timm.create_model(name, num_classes=3)).double()
        x = part(torch.randn(4, 3, 32, 32, dtype=torch.float64))
        model(x).square().mean().backward()
        found[name] = {n: mean_over_ranks(p.grad) for n, p in model.named_parameters() if p.dim() == 1}
    return found


@pytest.mark.slow
def test_timm_networks_equal_one_rank():
    alone = timm_on_ranks()
    for found in run_ranks(timm_on_ranks, 2):
        torch.testing.assert_close(found, alone, rtol=1e-6, atol=1e-10)


def test_timms_norm_with_activation_is_converted():
    import timm

    plain = timm.layers.BatchNormAct2d(3)
    converted = convert_batchnorm(copy.deepcopy(plain))
    x = torch.randn(4, 3, 5, 5)
    assert torch.equal(plain(x), converted(x))
    assert isinstance(converted, BatchNorm)


def test_a_norm_with_a_forward_of_its_own_is_refused():
    class Strange(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x).relu()

    with pytest.raises(UsageError, match="1 is a Strange, a BatchNorm with a forward of its own"):
        convert_batchnorm(nn.Sequential(nn.Identity(), Strange(3)))


def test_union_mean_is_the_mean_and_zero_without_rows():
    values = torch.tensor([1.0, 2.0, 6.0], requires_grad=True)
    assert union_mean(values) == 3
    empty = values[:0]
    union_mean(empty).backward()
    assert union_mean(empty) == 0
    assert (values.grad == 0).all()
    assert union_mean(values.bfloat16()).dtype == torch.float32
