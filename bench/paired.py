"""Same views, same initial weights, same optimizer, 300 steps: our SimCLR and Barlow Twins against lightly's modules.

The loop on lightly's side is written by hand; ours is the objective as the trainer calls it. Both see our views of the
digits. float64, since float32 amplifies rounding over hundreds of steps whoever computes it; the float32 gap of the
first steps is shown beside it.
"""

import copy
from typing import Any

from common import arguments, save

STEPS, BATCH = 300, 64


def setting(method: str) -> Any:
    from unlabeled.build import build
    from unlabeled.config.run import resolve

    widths = [256, 64] if method == "simclr" else [256, 256, 256]
    objective: dict[str, Any] = {"name": method, "projector": widths}
    if method == "simclr":
        objective["temperature"] = 0.5
    raw = {
        "data": {"name": "digits", "size": 16},
        "views": {"name": "simclr", "flip": 0.0, "scale": [0.4, 1.0]},
        "encoder": {"name": "vit"},
        "objective": objective,
        "training": {"batch_size": BATCH},
    }
    return build(resolve(raw, "vision"))


def lightly_side(method: str, parts: Any) -> tuple[Any, Any, Any]:
    """lightly's head with our head's weights, its criterion, and a copy of the network."""
    from lightly.loss import BarlowTwinsLoss, NTXentLoss
    from lightly.models.modules.heads import ProjectionHead
    from torch import nn

    blocks: list[Any] = []
    ours = list(parts.objective.projector)
    for number, layer in enumerate(ours):
        if isinstance(layer, nn.Linear):
            norm = ours[number + 1] if number + 1 < len(ours) else None
            normed = isinstance(norm, nn.modules.batchnorm._BatchNorm)
            width = layer.out_features
            last = layer is [x for x in ours if isinstance(x, nn.Linear)][-1]
            blocks.append(
                (layer.in_features, width, nn.BatchNorm1d(width) if normed else None, None if last else nn.ReLU(),
                 layer.bias is not None)
            )  # fmt: skip
    head = ProjectionHead(blocks)
    for mine, theirs in zip(parts.objective.projector.parameters(), head.parameters(), strict=True):
        theirs.data.copy_(mine.data)
    if method == "simclr":
        return copy.deepcopy(parts.encoder.model), head, NTXentLoss(temperature=0.5)
    return copy.deepcopy(parts.encoder.model), head, BarlowTwinsLoss(lambda_param=parts.objective.redundancy)


def curves(method: str, double: bool, steps: int) -> tuple[list[float], list[float]]:
    import torch

    from unlabeled.contract import Progress
    from unlabeled.nn.clock import after_step

    torch.manual_seed(0)
    parts = setting(method)
    network, head, criterion = lightly_side(method, parts)
    dtype = torch.float64 if double else torch.float32
    for module in (parts.encoder, parts.objective, network, head):
        module.to(dtype).train()
    kinds = {"lr": 1e-3, "weight_decay": 0.05}
    ours = torch.optim.AdamW([*parts.encoder.model.parameters(), *parts.objective.parameters()], **kinds)
    theirs = torch.optim.AdamW([*network.parameters(), *head.parameters()], **kinds)
    mine, others = [], []
    per_epoch = len(parts.data) // BATCH
    for step in range(steps):
        epoch, place = divmod(step, per_epoch)
        order = torch.randperm(len(parts.data), generator=torch.Generator().manual_seed(epoch))
        batch = parts.data.__getitems__(order[place * BATCH : (place + 1) * BATCH].tolist())
        views = parts.prepare(batch, 0, epoch)
        for view in views:
            view.batch.images.data = view.batch.images.to(dtype)
        loss = parts.objective(parts.encoder, views).total
        ours.zero_grad()
        loss.backward()
        ours.step()
        after_step(parts.objective, parts.encoder, Progress(step + 1, steps))
        # lightly's Barlow Twins changes its inputs in place: give it what nothing else reads
        other = criterion(*(head(network(view.batch.images.clone())) for view in views))
        theirs.zero_grad()
        other.backward()
        theirs.step()
        mine.append(loss.item())
        others.append(other.item())
    return mine, others


def gap(ours: list[float], theirs: list[float]) -> float:
    """The greatest relative difference of two loss curves."""
    return max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    args = arguments(__doc__, steps=STEPS)
    rows = []
    for method in ("simclr", "barlow_twins"):
        ours, theirs = curves(method, True, args.steps)
        single = curves(method, False, min(50, args.steps))
        row = {"method": method, "steps": args.steps, "gap": gap(ours, theirs), "gap_float32_50": gap(*single)}
        row |= {"first": ours[0], "last": ours[-1], "last_lightly": theirs[-1]}
        print(row, flush=True)
        rows.append(row | {"ours": ours[::10], "lightly": theirs[::10]})
    save("paired", {"rows": rows})


if __name__ == "__main__":
    main()
