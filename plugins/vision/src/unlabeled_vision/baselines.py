"""Raw pixels: features without a model."""

from typing import Any

from torch import Tensor

from unlabeled.contract import View


class RawPixels:
    """The pixels of a view, flattened: ``[B, C * H * W]``."""

    def __call__(self, view: View) -> Tensor:
        batch: Any = view.batch
        return batch.images.flatten(1).float()
