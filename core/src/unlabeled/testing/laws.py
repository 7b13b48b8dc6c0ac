"""The laws of objectives, whatever they compute, as :mod:`unlabeled.testing.conduct` asks them.

A law is a plain function of a subject whose docstring begins with "Ensure that"; it returns nothing, raises
``AssertionError``, or raises ``NotApplicable`` with a reason. Dropout is off throughout.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from unlabeled.contract import Needs, Progress, Rows, View
from unlabeled.nn.clock import after_step
from unlabeled.nn.distributed import convert_batchnorm, rank, world
from unlabeled.nn.teacher import Teacher
from unlabeled.testing.subject import NotApplicable, ensure, reload, still, weights
from unlabeled.training.gradient_cache import cached_backward, refuse_uncached

BATCH = 6  # samples; on two ranks three each, which need not have as many rows
STEPS = 20  # of a training, of which laws take a few
NEAR: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-9}  # in float64, of sums in another order

Found = dict[str, Any]
MakeViews = Callable[[Any, Needs, Sequence[int], float, torch.dtype], list[View]]


@dataclass(frozen=True)
class Subject:
    """An objective under test, and what it stands beside.

    Args:
        name: in the table.
        make: the objective of an encoder.
        encoder: a new encoder for the objective of that name.
        make_views: of an encoder, the objective's needs, ids of samples, a scale of the input and a dtype.
        on_ranks: what :func:`descend` finds on each of two ranks, by name.
        on_device: what the second step on a pretended accelerator waits for, by name.
    """

    name: str
    make: Callable[[Any], Any]
    encoder: Callable[[str], Any]
    make_views: MakeViews
    on_ranks: Callable[[], list[dict[str, Found]]]
    on_device: Callable[[], dict[str, list[str]]] = dict

    def parts(self, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
        """A new encoder and objective, in training mode but for dropout."""
        torch.manual_seed(seed)
        encoder = self.encoder(self.name)
        objective = self.make(encoder)
        if hasattr(encoder, "prepare"):
            encoder.prepare(objective.needs)
        for part in (encoder, objective):
            still(part.to(dtype).train())
        return encoder, objective

    def start(
        self,
        seed: int = 0,
        *,
        ids: Sequence[int] = range(BATCH),
        scale: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Any, Any, list[View]]:
        """New parts, and the views of a batch."""
        encoder, objective = self.parts(seed, dtype)
        return encoder, objective, self.make_views(encoder, objective.needs, list(ids), scale, dtype)


# ---------------------------------------------------------------------------------------------- ranks


def descend(it: Subject) -> Found:
    """Losses, first and last gradient and state of three steps of plain descent on this rank's share of a batch.

    Losses and gradients are means over ranks, as data-parallel training makes them.
    """
    share = BATCH // world()
    encoder, objective, views = it.start(ids=range(rank() * share, (rank() + 1) * share), dtype=torch.float64)
    convert_batchnorm(encoder)
    convert_batchnorm(objective)
    found: Found = {"losses": [], "gradients": []}
    for step in range(3):
        learning = list(weights(encoder, objective).values())
        loss = objective(encoder, views).total
        slopes = torch.autograd.grad(loss, learning, materialize_grads=True)
        # in one collective, since hundreds of small ones cost most of the suite's time
        flat = torch.cat([loss.detach()[None], *(slope.flatten() for slope in slopes)])
        if world() > 1:
            dist.all_reduce(flat)
            flat /= world()
        found["losses"].append(flat[0])
        found["gradients"].append(flat[1:])
        with torch.no_grad():
            for weight, slope in zip(learning, flat[1:].split([w.numel() for w in learning]), strict=True):
                weight.sub_(0.05 * slope.view_as(weight))
        after_step(objective, encoder, Progress(step + 1, STEPS))
    return found | {"state": dict(objective.state_dict())}


def two_ranks_equal_one(it: Subject) -> None:
    """Ensure that two ranks of half a batch give the losses, gradients and state of one rank, step after step.

    Troubleshooting: gather across ranks with ``unlabeled.nn.distributed``; take means over rows with ``union_mean``.
    """
    alone = descend(it)
    for number, several in enumerate(it.on_ranks()):
        ensure("error" not in several[it.name], f"rank {number} can take steps", several[it.name].get("error"))
        torch.testing.assert_close(several[it.name], alone, **NEAR, msg=partial("rank {}: {}".format, number))


# ---------------------------------------------------------------------------------------------- gradients and numbers


def every_parameter_gets_a_gradient(it: Subject) -> None:
    """Ensure that every parameter that learns gets a gradient at any time of training, and not always 0; DDP fails
    on those without. No teacher learns.
    """
    encoder, objective, views = it.start()
    learning, unmoved = weights(encoder, objective), set(weights(encoder, objective))
    for step in (0, 1, STEPS - 1):  # before and after phases of training
        after_step(objective, encoder, Progress(step, STEPS))
        objective(encoder, views).total.backward()
        without = [name for name, p in learning.items() if p.grad is None]
        ensure(not without, f"every parameter gets a gradient after step {step}", without)
        unmoved -= {name for name, p in learning.items() if p.grad is not None and bool(p.grad.any())}
        _step(learning)
    ensure(not unmoved, "every parameter has a gradient other than 0", unmoved)
    taught = [name for name in learning if name.startswith("objective.teacher")]
    ensure(not taught, "no teacher learns by gradient", taught)


@torch.no_grad()
def _step(learning: Mapping[str, nn.Parameter]) -> None:
    for parameter in learning.values():
        assert parameter.grad is not None
        parameter.sub_(0.05 * parameter.grad)
        parameter.grad = None


def loss_and_gradients_are_finite(it: Subject) -> None:
    """Ensure that silence, loud input, equal samples and collapsed or great weights leave loss, parts and gradients
    finite, in float32 and under bfloat16; the loss is a float32 scalar, and its parts are detached scalars.
    """
    for case, scale, ids, factor in (
        ("samples", 1.0, range(BATCH), 1.0),
        ("silence", 0.0, range(BATCH), 1.0),
        ("loud input", 1e4, range(BATCH), 1.0),
        ("equal samples", 1.0, [3] * BATCH, 1.0),
        ("an encoder of zeros", 1.0, range(BATCH), 0.0),
        ("great weights", 1.0, range(BATCH), 30.0),
    ):
        encoder, objective, views = it.start(ids=ids, scale=scale)
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter *= factor
        for dtype in (torch.float32, torch.bfloat16):
            half = dtype == torch.bfloat16
            hook = encoder.register_forward_hook(_halved) if half else None
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = objective(encoder, views)
            if hook is not None:
                hook.remove()
            _finite(loss, weights(encoder, objective), f"{case} in {dtype}")


def _halved(module: Any, given: Any, out: Any) -> Any:
    """Features as an encoder gives them under autocast whose last layer is a convolution or a product."""
    if not is_dataclass(out):
        return out
    changed = {
        f.name: getattr(out, f.name).bfloat16()
        for f in fields(out)
        if isinstance(getattr(out, f.name), Tensor) and getattr(out, f.name).dtype == torch.float32
    }
    layers = tuple(_halved(module, given, layer) for layer in getattr(out, "layers", ()))
    return replace(out, **changed, **({"layers": layers} if layers else {}))  # type: ignore[type-var]


def _finite(loss: Any, learning: Mapping[str, nn.Parameter], case: str) -> None:
    total = loss.total
    ensure(total.dtype == torch.float32 and total.dim() == 0, f"the loss of {case} is a float32 scalar", total)
    tracked = [name for name, part in loss.parts.items() if part.requires_grad or part.dim()]
    ensure(not tracked, f"the parts of {case} are detached scalars", tracked)
    total.backward()
    numbers = {"loss": total, **loss.parts, **{n: p.grad for n, p in learning.items() if p.grad is not None}}
    wild = [name for name, number in numbers.items() if not bool(number.isfinite().all())]
    ensure(not wild, f"loss, parts and gradients of {case} are finite", wild)


def bfloat16_is_close(it: Subject) -> None:
    """Ensure that autocast to bfloat16 changes the loss little; of one that counts, rounding may change a count."""
    (encoder, objective, views), (same, other, _), (near, moved, _) = (it.start() for _ in range(3))
    exact = objective(encoder, views).total
    with torch.no_grad():
        for weight in weights(near, moved).values():
            weight.add_(1e-5)
    if torch.equal(moved(near, views).total, exact):
        raise NotApplicable("the loss counts: it does not move with the weights")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = other(same, views).total
    torch.testing.assert_close(rounded, exact, rtol=0.1, atol=0.05)


def nothing_hidden_is_finite(it: Subject) -> None:
    """Ensure that samples too short to hide a row have a loss and gradients, no NaN and no error."""
    _nothing_hidden(it)


def nothing_hidden_costs_nothing(it: Subject) -> None:
    """Ensure that samples too short to hide a row have loss 0 and gradient 0."""
    encoder, objective, loss = _nothing_hidden(it)
    ensure(loss.total == 0, "nothing hidden costs nothing", loss.total.item())
    moved = [name for name, p in weights(encoder, objective).items() if p.grad is not None and bool(p.grad.any())]
    ensure(not moved, "nothing hidden has gradient 0", moved)


def _nothing_hidden(it: Subject) -> tuple[Any, Any, Any]:
    encoder, objective, views = it.start()
    if not objective.needs.hidden:
        raise NotApplicable("it hides nothing")
    none = Rows(torch.zeros(0, dtype=torch.int64), (0,) * BATCH)
    hidden = [v if v.hidden is None else replace(v, hidden=none, predict=(none,) * len(v.predict)) for v in views]
    loss = objective(encoder, hidden)
    _finite(loss, weights(encoder, objective), "nothing hidden")
    return encoder, objective, loss


# ---------------------------------------------------------------------------------------------- state


def saved_state_goes_on(it: Subject) -> None:
    """Ensure that encoder and objective, saved after some steps and loaded into others, go on with the same losses and
    end in the same state: what one step gathered is no part of the next.

    Troubleshooting: queues, centers, codebooks and clocks are registered buffers.
    """
    (encoder, objective, views), (same, other, _) = it.start(), it.start(seed=7)
    for step in range(3):
        objective(encoder, views)
        after_step(objective, encoder, Progress(step + 1, STEPS))
    reload(encoder, same)
    reload(objective, other)
    for step in range(3, 6):
        expected, found = objective(encoder, views).total, other(same, views).total
        ensure(torch.equal(found, expected), "it goes on from its saved state", f"{found} for {expected}")
        after_step(objective, encoder, Progress(step + 1, STEPS))
        after_step(other, same, Progress(step + 1, STEPS))
    _same_state(objective, other, "it ends in the state of one that goes on from its saved state")


def _same_state(objective: Any, other: Any, claim: str) -> None:
    state = other.state_dict()
    differ = [key for key, value in objective.state_dict().items() if not torch.equal(value, state[key])]
    ensure(not differ, claim, differ)


def teachers_follow(it: Subject) -> None:
    """Ensure that after a step that moved the weights every copy that a teacher holds has moved as well.

    Troubleshooting: call ``Teacher.update`` in ``after_step``.
    """
    encoder, objective, views = it.start()
    teachers = [module for module in objective.modules() if isinstance(module, Teacher)]
    copies = {f"{name} {k}": t.get_submodule(name) for k, t in enumerate(teachers) for name in t.names}
    if not copies:
        raise NotApplicable("it has no teacher")
    before = {name: [p.clone() for p in each.parameters()] for name, each in copies.items()}
    objective(encoder, views)
    with torch.no_grad():
        for parameter in weights(encoder, objective).values():
            parameter.add_(0.1)
    after_step(objective, encoder, Progress(1, STEPS))
    for name, each in copies.items():
        left = all(torch.equal(a, b) for a, b in zip(each.parameters(), before[name], strict=True))
        ensure(not left or not before[name], f"the teacher's {name} follows", "all its parameters where they were")


def evaluation_changes_no_state(it: Subject) -> None:
    """Ensure that in evaluation mode, once training has begun, a batch has the same loss again and leaves no trace,
    in the next step of training neither.
    """
    (encoder, objective, views), (same, other, _) = it.start(), it.start()
    for each, model in ((objective, encoder), (other, same)):
        each(model, views)
        after_step(each, model, Progress(1, STEPS))
    both = nn.ModuleList((encoder.eval(), objective.eval()))
    before = {key: value.clone() for key, value in both.state_dict().items()}
    others = it.make_views(encoder, objective.needs, range(BATCH, 2 * BATCH), 1.0, torch.float32)
    first, second = (objective(encoder, others).total for _ in range(2))
    ensure(torch.equal(first, second), "evaluation repeats", f"{first} and {second}")
    changed = [key for key, value in both.state_dict().items() if not torch.equal(value, before[key])]
    ensure(not changed, "evaluation changes no state", changed)
    both.train()
    still(both)
    for each, model in ((objective, encoder), (other, same)):
        each(model, views)
        after_step(each, model, Progress(2, STEPS))
    _same_state(objective, other, "evaluation leaves nothing to the next step")


# ---------------------------------------------------------------------------------------------- chance and the batch


def order_does_not_matter(it: Subject) -> None:
    """Ensure that the loss is that of the samples in any order, in the next step too."""
    losses = []
    for ids in (range(BATCH), [4, 2, 0, 5, 3, 1]):
        encoder, objective, views = it.start(ids=ids, dtype=torch.float64)
        losses.append(objective(encoder, views).total)
        after_step(objective, encoder, Progress(1, STEPS))
        losses.append(objective(encoder, views).total)
    torch.testing.assert_close(losses[2:], losses[:2], **NEAR)


def global_seed_does_not_matter(it: Subject) -> None:
    """Ensure that whatever the objective draws follows from the samples and the step.

    Troubleshooting: draw with ``unlabeled.nn.chance``.
    """
    losses = []
    for seed in (1, 2):
        encoder, objective, views = it.start()
        torch.manual_seed(seed)
        losses.append(objective(encoder, views).total)
    ensure(torch.equal(*losses), "the global seed changes nothing", losses)


def chunks_equal_the_batch(it: Subject) -> None:
    """Ensure that gradient caching, whose encoder sees two samples at a time, gives loss and gradient of the batch."""
    (encoder, objective, views), (same, other, _) = (it.start(dtype=torch.float64) for _ in range(2))
    try:
        refuse_uncached(objective, encoder)
    except ValueError as reason:
        raise NotApplicable(str(reason)) from reason
    whole = objective(encoder, views)
    whole.total.backward()
    cached = cached_backward(other, same, views, 2, seed=0)
    torch.testing.assert_close(cached.total, whole.total, **NEAR)
    expected, found = (
        {name: p.grad for name, p in weights(*pair).items()} for pair in ((encoder, objective), (same, other))
    )
    torch.testing.assert_close(found, expected, **NEAR)


def couples_as_it_says(it: Subject) -> None:
    """Ensure that the loss of a batch is the mean of its parts' losses exactly where ``needs.couples`` is False.

    Views hide as many rows in each pair of samples, so that a mean over rows is the mean of the pairs' means.
    """
    encoder, objective, views = it.start(dtype=torch.float64)
    objective(encoder, views)
    after_step(objective, encoder, Progress(1, STEPS))  # DINO's first step centers by the batch at hand
    state = {key: value.clone() for key, value in objective.state_dict().items()}

    def loss(start: int, stop: int) -> Tensor:
        objective.load_state_dict(state)
        total: Tensor = objective(encoder, [view.cut(start, stop) for view in views]).total
        return total.detach()

    whole, parts = loss(0, BATCH), torch.stack([loss(start, start + 2) for start in range(0, BATCH, 2)]).mean()
    alike = bool(torch.isclose(parts, whole, **NEAR))
    ensure(alike != objective.needs.couples, f"needs.couples says whether {whole} is the mean of its parts", parts)


def encoder_is_no_part_of_it(it: Subject) -> None:
    """Ensure that the encoder's parameters are none of the objective's: they would be saved and trained twice."""
    encoder, objective = it.parts()
    shared = {id(p) for p in encoder.parameters()} & {id(p) for p in objective.parameters()}
    ensure(not shared, "the encoder is no part of the objective", f"{len(shared)} of its parameters")


def waits_for_no_device(it: Subject) -> None:
    """Ensure that a step on an accelerator reads nothing back and meets no tensor of the host.

    Troubleshooting: ``unlabeled.transfer`` sends what the host knows; ``torch.where`` in place of a boolean index.
    """
    waits = it.on_device().get(it.name, [])
    ensure(not waits, "the second step on an accelerator waits for nothing", waits)


LAWS: tuple[Callable[[Subject], None], ...] = (
    two_ranks_equal_one,
    every_parameter_gets_a_gradient,
    loss_and_gradients_are_finite,
    bfloat16_is_close,
    nothing_hidden_is_finite,
    nothing_hidden_costs_nothing,
    saved_state_goes_on,
    teachers_follow,
    evaluation_changes_no_state,
    order_does_not_matter,
    global_seed_does_not_matter,
    chunks_equal_the_batch,
    couples_as_it_says,
    encoder_is_no_part_of_it,
    waits_for_no_device,
)
