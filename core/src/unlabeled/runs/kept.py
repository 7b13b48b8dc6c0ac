"""The head of a linear probe on the frozen encoder, kept in the run: what predict reads without any fine-tuning.

It is the head that the table's row of all labels is scored with: of train, by the first seed.

    # N samples of train, D features, K outputs
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.errors import UsageError
from unlabeled.probes.setting import Setting
from unlabeled.runs.folder import HEAD, tuned_on_labels
from unlabeled.runs.pretrained import Pretrained
from unlabeled.runs.task import Task, task_of
from unlabeled.runs.tuned import Head, save_head

PROBE = {"classes": "linear", "multilabel": "multilabel", "regression": "ridge"}


def check_keep(run: Pretrained) -> None:
    """Refuse to put another head over that of a fine-tuned model, before any work."""
    if tuned_on_labels(run.folder):
        raise UsageError(f"{run.folder} has the head that it was fine-tuned with, which predict uses: leave out --keep")


def keep(run: Pretrained, on: Setting) -> str:
    """Write the head of the linear probe into the run folder; a line that says so."""
    task = task_of(on.data)
    if PROBE[task.kind] not in on.probes:
        raise UsageError(f"{on.data.describe()}: --keep needs the probe {PROBE[task.kind]}")
    probe, found = on.probes[PROBE[task.kind]], on.embed(run.encoder)
    on.read(on.ids if found.ids is None else found.ids)
    train, _ = on.sides(on.seeds[0])
    train = train[task.known[on.ids[train]]]
    head = head_of(probe, task, found.x[train], task.y[on.ids[train]])
    save_head(run.folder, head, {"spec": probe.spec, "data": on.data.describe(), "seed": on.seeds[0]})
    return f"kept the head of {PROBE[task.kind]} in {run.folder / HEAD}: predict uses it"


def head_of(probe: Any, task: Task, x: Tensor, y: Tensor) -> Head:
    """What the probe learns from ``x[N, D]``, as one affine map of raw features."""
    if task.kind != "classes":
        return Head(affine(lambda other: probe.predict(x, y, other), x), task.names, task.kind)
    known = y.unique()
    linear = affine(lambda other: probe.logits(x, y, other)[1], x)
    return Head(linear, tuple(task.names[k] for k in known.tolist()), "classes")


def affine(f: Callable[[Tensor], Tensor], x: Tensor) -> nn.Linear:
    """The affine map that ``f`` is, found by its values at the mean of ``x[N, D]`` and a deviation beside it."""
    mean, step = x.double().mean(0), x.double().std(0).clamp(min=1e-6)
    asked = torch.cat((mean[None], mean + torch.diag(step)))
    out = f(asked.float()).double()
    moved = (asked.float().double() - asked[0].float().double()).diagonal(-1)  # as float has them
    weight_DK = (out[1:] - out[0]) / moved[:, None]
    linear = nn.Linear(len(mean), out.shape[1])
    with torch.no_grad():
        linear.weight.copy_(weight_DK.T)
        linear.bias.copy_(out[0] - asked[0].float().double() @ weight_DK)
    return linear
