"""``unlabeled <domain> predict RUN --data PATH --out FILE``: classes and probabilities by a run with a head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlabeled.contract import Data
    from unlabeled.runs.pretrained import Pretrained


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Settings.

    Args:
        out: the file to write, .csv, .jsonl or .parquet.
        batch_size: samples per forward pass.
        workers: processes that read data.
        device: auto, cpu, cuda, cuda:1, ...
    """

    out: Path
    batch_size: int = 256
    workers: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        from unlabeled.runs.features import check_target
        from unlabeled.runs.predict import SUFFIXES

        check_target(self.out, SUFFIXES)


def predict_command(run: Pretrained, data: Data, settings: Predict) -> str:
    """Classes, labels or numbers of each sample, with probabilities: by a run of finetune --out or probe --keep."""
    from unlabeled import api

    found = api.predict(run, data, **vars(settings))
    return f"saved {settings.out}: {found.read:,} samples predicted"
