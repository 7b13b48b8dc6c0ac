"""The pretended accelerator refuses what a real one would, counts what would wait for it, and lets the rest pass."""

from typing import Any

import pytest
import torch

from unlabeled.testing.ranks import run_ranks

HOST = torch.ones(4)
WRONG: dict[str, Any] = {
    "a tensor of the host in a sum": lambda x: x + HOST,
    "a 0-dim tensor of the host in a stack": lambda x: torch.stack([x.sum(), torch.tensor(1.0)]),
    "indices of the device, tensor of the host": lambda x: HOST[x.argmax(1)],
    "NumPy": lambda x: x.numpy(),
    "a product of integers": lambda x: x.long() @ x.long().T,
    "a generator of the host": lambda x: torch.randn(3, device=x.device, generator=torch.Generator()),
    "a non-blocking copy to the host": lambda x: x.to("cpu", non_blocking=True),
}
RIGHT: dict[str, tuple[int, Any]] = {
    "a number of the host": (0, lambda x: x + torch.tensor(1.0)),
    "fill by a mask": (0, lambda x: x.clone().masked_fill_(x > 3, 0.0)),
    "assign a number by a mask": (0, lambda x: x.clone().__setitem__(x > 3, 0.0)),
    "factories": (0, lambda x: torch.zeros(3, device=x.device) + x.new_full((), 2.0)),
    "item": (1, lambda x: x.sum().item()),
    "a mask as an index": (1, lambda x: x[x > 3]),
    "a list": (1, lambda x: torch.tensor([1, 2], device=x.device)),
    "an if": (1, lambda x: 1 if (x > 3).any() else 0),
}


def on_device() -> dict[str, Any]:
    """What each of WRONG raises, how often each of RIGHT waits, and a step of a linear layer."""
    from unlabeled.testing.pretend import NAME, pretending
    from unlabeled.transfer import moved, numbers, on_host, placed, send

    found: dict[str, Any] = {}
    for what, call in [*WRONG.items(), *((what, call) for what, (_, call) in RIGHT.items())]:
        with pretending() as seen:
            x = torch.arange(12.0).reshape(3, 4).to(NAME)
            before = seen.blocking()
            try:
                call(x)
                found[what] = seen.blocking() - before
            except RuntimeError as error:
                found[what] = str(error)
    with pretending() as seen:
        device = torch.device(NAME, 0)
        ids = moved(torch.tensor([3, 5]), device)
        parts = send([torch.tensor([1.5, 2.5]), torch.tensor([True]), torch.arange(6).view(2, 3)], device)
        tree = placed({"a": [torch.ones(2), torch.ones(2)], "b": 3}, device)
        twice = numbers((4, 5), device) is numbers((4, 5), device)
        waits, known = seen.blocking(), on_host(ids).tolist()
        sent = sum(seen.waits.values())
    found["transfer"] = {
        "waits": waits, "known": known, "parts": [x.cpu().tolist() for x in parts], "twice": twice, "sent": sent,
        "tree": tree["a"][0].device.type, "b": tree["b"],
    }  # fmt: skip
    return found


@pytest.fixture(scope="module")
def found():
    """In a process of its own: a device that torch knows is known for good."""
    return run_ranks(on_device, 1)[0]


@pytest.mark.parametrize("what", WRONG)
def test_what_a_device_refuses_raises(found, what):
    assert isinstance(found[what], str), f"it passed, with {found[what]} waits"


@pytest.mark.parametrize("what", RIGHT)
def test_what_waits_is_counted(found, what):
    assert found[what] == RIGHT[what][0]


def test_what_is_sent_waits_for_nothing_and_goes_at_once(found):
    assert found["transfer"] == {
        "waits": 0, "known": [3, 5], "parts": [[1.5, 2.5], [True], [[0, 1, 2], [3, 4, 5]]], "twice": True,
        "sent": 4, "tree": "pretend", "b": 3,
    }  # fmt: skip
