"""The check of a step on an accelerator, by the pretended one, in a process of its own."""

from typing import Any

import torch

from unlabeled.testing.checks_training import found, whereabouts
from unlabeled.testing.ranks import run_ranks
from unlabeled.testing.subject import ensure

ROUNDING = 1e-4  # relative, of a loss
SHOWN = 4  # waits that a message names


def check_a_step_waits_for_no_device(domain: str) -> None:
    """Ensure that the default composition takes a step on an accelerator: no tensor of the host meets one of the
    device, nothing is read back before the log, and the loss is the host's.

    Troubleshooting: ``unlabeled.transfer`` sends what the host knows at once, and once; a domain of ids may set
    ``on_host``, so that views are made before they are sent.
    """
    step = run_ranks(device_step, 1, *whereabouts(domain))[0]
    ensure("error" not in step, "a step runs on an accelerator", step.get("error"))
    waits = step["waits"]
    ensure(not waits, "a step after the first waits for nothing", f"{len(waits)} waits: {'; '.join(waits[:SHOWN])}")
    gap = abs(step["loss"] - step["host"]) / max(1e-6, abs(step["host"]))
    ensure(gap < ROUNDING, "the loss is the host's", f"{step['loss']:.6g} and {step['host']:.6g}")


def device_step(domain: str, plugin: str, file: str) -> dict[str, Any]:
    """What the second step of the default composition waits for, and its first loss on device and host."""
    from unlabeled.testing.pretend.step import step_on_device

    it = found(domain, plugin, file)
    with torch.no_grad():
        parts = it.parts()
        host = parts.loss(it.batch(), 0).total.item()
    try:
        step = step_on_device(it.parts(), it.ids())
    except (RuntimeError, NotImplementedError) as error:
        return {"error": str(error)}
    waits = [f"{what} [{where}]" for (what, where), count in step.waits.items() for _ in range(count)]
    return {"waits": waits, "copies": sum(step.copies.values()), "loss": step.loss[0], "host": host}
