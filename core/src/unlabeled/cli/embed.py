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
        out: the file to write, .npz or .parquet, which is written as features are computed.
        features: one vector a sample (pooled; mean of tokens; prefix, the class token), a row a token with its number
            and position, or a column a layer.
        skip_bad: leave out samples that cannot be read; without it they keep their row, with features of NaN.
        batch_size: samples per forward pass.
        workers: processes that read data.
        device: auto, cpu, cuda, cuda:1, ...
    """

    out: Path
    features: Literal["pooled", "mean", "prefix", "tokens", "layers"] = "pooled"
    skip_bad: bool = False
    batch_size: int = 256
    workers: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        from unlabeled.runs.features import check_target

        check_target(self.out)


def embed_command(run: Pretrained, data: Data, settings: Embed) -> str:
    """Frozen features in the order of the data, with paths or ids, splits and labels."""
    from unlabeled import api

    return str(api.embed(run, data, **vars(settings)).text())
