"""The encoder, watched: what it gave is kept for a second loss beside an objective's own."""

from typing import Any

from torch import Tensor

from unlabeled.contract import View


class Recorder:
    """Stands in for an encoder, and keeps the pooled features ``[B, D]`` of each call in ``pooled``.

    >>> recorder = Recorder(encoder)
    >>> loss = objective(recorder, views)
    >>> [pooled.shape for pooled in recorder.pooled]
    [torch.Size([4, 8]), torch.Size([4, 8])]
    """

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self.pooled: list[Tensor] = []

    def __call__(self, view: View, **options: Any) -> Any:
        features = self._encoder(view, **options)
        self.pooled.append(features.pooled)
        return features

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)
