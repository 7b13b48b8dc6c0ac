"""The 1,797 handwritten digits that scikit-learn ships, which need no download."""

from collections.abc import Sequence

import torch
from torch import Tensor

from unlabeled_vision.batch import ImageBatch, ImageSpec


class Digits:
    """The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn ships, 1 channel; the last fifth is the test.

    They are ordered by writer, so the last fifth tests on hands that training has mostly not seen.

    Args:
        size: side in pixels of the images that views make of them.
    """

    def __init__(self, path: str | None, *, size: int = 16) -> None:
        from sklearn.datasets import load_digits

        if path is not None:
            raise ValueError(f"the digits come with scikit-learn; to read {path}, give --data images:{path}")
        found = load_digits()
        self.spec = ImageSpec(1, size, mirror=False)
        self.labels: Tensor | None = torch.from_numpy(found.target).long()
        self.classes = tuple(str(n) for n in range(10))
        self.test: Tensor | None = torch.arange(len(found.target)) >= len(found.target) * 4 // 5
        self._x = torch.from_numpy(found.images).mul(255 / 16).round().to(torch.uint8)[:, None]

    def __len__(self) -> int:
        return len(self._x)

    def __getitems__(self, indices: Sequence[int]) -> ImageBatch:
        ids = torch.as_tensor(indices, dtype=torch.int64)
        return ImageBatch(ids, self._x[ids])

    def describe(self) -> str:
        return f"digits of scikit-learn: {len(self):,} images, 10 classes, 1 channel, 8 x 8, the last fifth held out"
