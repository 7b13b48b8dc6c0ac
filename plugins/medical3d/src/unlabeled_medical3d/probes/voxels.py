"""Voxel segmentation with a frozen encoder: a linear or a light head is fitted on its rows, and scored on clean views.

The rows of a few train volumes are computed once; AdamW fits the head on them for a fixed number of steps, by
cross-entropy and soft Dice. Scores are Dice, HD95 and surface Dice in mm (``voxels.py``), mean over test volumes. In
the row without a model the raw voxels of each cube stand in the place of features.

    # B volumes, T rows, D features, K classes
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlabeled.contract import Asks, Data, Features, Layout
from unlabeled.nn.chance import undisturbed
from unlabeled.probes.frozen import Frozen
from unlabeled.probes.splits import shuffled
from unlabeled_medical3d.ops.segmentation import (
    HEADS,
    cut_labels,
    mean_scores,
    segmentation_loss,
    voxel_scores,
    with_labels,
)

BATCH = 4  # volumes of a step


@dataclass(frozen=True)
class _Seen:
    """Frozen rows of one volume with what a head sees and should say."""

    rows: Tensor
    layout: Layout
    images: Tensor
    labels: Tensor


class VoxelProbe:
    """Segmentation with a frozen encoder.

    Args:
        head: linear, one map from a row to its cube's voxels; light, a small decoder that also sees the image.
        volumes: train volumes that the head is fitted on, drawn by the seed; fewer where train has fewer.
        test: most test volumes that are scored.
        steps: of AdamW, at least 1.
        lr: greatest learning rate; it falls along a cosine.
        tolerance: mm within which a surface counts as found.
    """

    asks = Asks(reads="encoder", draws=True)

    def __init__(
        self,
        *,
        head: Literal["linear", "light"] = "linear",
        volumes: int = 24,
        test: int = 24,
        steps: int = 100,
        lr: float = 5e-3,
        tolerance: float = 2.0,
    ) -> None:
        if min(volumes, test, steps) < 1 or lr <= 0 or tolerance < 0:
            raise ValueError(f"volumes {volumes}, test {test}, steps {steps} from 1 on, lr {lr} above 0")
        self.head, self.volumes, self.test, self.steps, self.lr = head, volumes, test, steps, lr
        self.tolerance = tolerance
        self.spec = (
            f"voxels-v1: {head} head on frozen rows of {volumes} train volumes, {steps} steps of AdamW at {lr:g}, "
            f"cross-entropy + Dice; clean views of at most {test} test volumes; surface Dice at {tolerance:g} mm"
        )

    def applies(self, data: Data) -> bool:
        """Whether the data has voxel labels."""
        return len(getattr(data, "regions", ())) > 1

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        train, test = (with_labels(frozen.data, ids) for ids in (frozen.train, frozen.test))
        train = train[shuffled(train, frozen.seed, view=3)[: self.volumes]]
        seen = list(self._see(frozen, train))
        if not seen:
            return {}
        classes = len(frozen.data.regions)  # type: ignore[attr-defined]
        grid, size, dim = seen[0].layout.grid, seen[0].labels.shape[1:], seen[0].rows.shape[1]
        assert grid is not None
        with undisturbed(seen[0].rows.device):
            torch.manual_seed(frozen.seed)
            made = HEADS[self.head](dim, classes, size, grid, seen[0].images.shape[1])
            head = _Standardized(made, torch.cat([each.rows for each in seen])).to(seen[0].rows.device)
            self._fit(head, seen)
        spacing = frozen.data.spec.spacing
        scores = []
        with torch.no_grad():
            for each in self._see(frozen, test[: self.test]):
                guess = head(each.rows, each.layout, each.images).argmax(1)
                scores += [
                    voxel_scores(guess[i].cpu(), each.labels[i].cpu(), spacing, classes, self.tolerance)
                    for i in range(len(guess))
                ]
        return mean_scores(scores)

    def _see(self, frozen: Frozen, ids: Tensor) -> Iterator[_Seen]:
        """Rows, images and labels of the clean views of ``ids``, volume by volume batch."""
        data: Any = frozen.data
        for part in ids.split(BATCH):
            for batch, view, out in frozen.encode(part):
                made: Any = view.batch
                features = out if isinstance(out, Features) else self._raw(frozen.encoder, view)
                if features is None:
                    return
                masks = data.masks(batch.ids.tolist())
                boxes = view.params["box"].tolist()
                size = made.images.shape[2:]
                labels = torch.stack([cut_labels(m, b, size) for m, b in zip(masks, boxes, strict=True)])
                yield _Seen(features.tokens.float(), features.layout, made.images, labels.to(made.images.device))

    def _raw(self, baseline: Any, view: Any) -> Features | None:
        """Rows of a baseline that has some; others describe whole volumes, and have no say about voxels."""
        return baseline.rows(view) if hasattr(baseline, "rows") else None

    def _fit(self, head: Any, seen: list[_Seen]) -> None:
        optimizer = torch.optim.AdamW(head.parameters(), lr=self.lr, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        for step in range(self.steps):
            each = seen[step % len(seen)]
            loss = segmentation_loss(head(each.rows, each.layout, each.images), each.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


class _Standardized(nn.Module):
    """A head that gets rows at mean 0 and deviation 1 of train."""

    mean: Tensor
    std: Tensor

    def __init__(self, head: nn.Module, rows_TD: Tensor) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("mean", rows_TD.mean(0))
        self.register_buffer("std", rows_TD.std(0).clamp(min=1e-6))

    def forward(self, rows_TD: Tensor, layout: Layout, images: Tensor) -> Tensor:
        logits: Tensor = self.head((rows_TD - self.mean) / self.std, layout, images)
        return logits
