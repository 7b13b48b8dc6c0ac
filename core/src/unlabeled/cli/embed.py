"""``unlabeled <domain> embed RUN --out FILE``: frozen features as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from unlabeled.contract import Data
    from unlabeled.runs.pretrained import Pretrained


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Settings.

    Args:
        out: the file to write, .npz or .parquet.
        feature: mean is of tokens, prefix the class token.
        skip_bad: leave out samples that cannot be read; without it they keep their row, with features of NaN.
        batch_size: samples per forward pass.
        workers: processes that read data.
        device: auto, cpu, cuda, cuda:1, ...
    """

    out: Path
    feature: Literal["pooled", "mean", "prefix"] = "pooled"
    skip_bad: bool = False
    batch_size: int = 256
    workers: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        from unlabeled.runs.features import check_target

        check_target(self.out)


def embed_command(run: Pretrained, data: Data, settings: Embed) -> str:
    """Frozen features, one row a sample, with labels and ids."""
    from unlabeled import api

    features, _ = api.embed(run, data, **vars(settings))
    return f"saved {settings.out}: {features.shape[0]:,} samples x {features.shape[1]} features"
