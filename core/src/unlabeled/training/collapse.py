"""Collapse watch: rank and deviation of the features while they are trained, and a warning with the likely cause.

Effective rank is RankMe's, exp of the entropy of the singular values (https://arxiv.org/abs/2210.02885); departure:
of centered features and of at most 256 rows, since a large common mean, which every untrained transformer has, would
hide the rest. Deviation is SimSiam's (https://arxiv.org/abs/2011.10566): per dimension, of L2-normalized features,
times sqrt(D), so that 1 is a uniform sphere and 0 a single point.

Thresholds, at the encoder or at the projector, on 5 log rows in a row: effective rank below 1.5 % of min(rows, D)
(and at least 1.5), or deviation below 0.02, or among the objective's parts a ``perplexity`` below 1.5, or a
``target_std`` or ``local_std`` (of convolutional features) below 0.01. They were chosen so that no healthy objective
crosses them: they find features that are nearly a point or a line, and say nothing about quality.

    # B samples, D features
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Features
from unlabeled.nn.spread import effective_rank, singular_values, sphere_deviation

ROWS = 256  # at most: 256 x 256 eigenvalues take 5 ms
RANK_SHARE, RANK_LEAST, DEVIATION = 0.015, 1.5, 0.02
PARTS = {"perplexity": 1.5, "target_std": 0.01, "local_std": 0.01}  # least of the objective's parts whose names end so
PATIENCE = 5

UNKNOWN = "too high a learning rate, or views and masks that let the objective be solved without the content"


def rank_of(x_BD: Tensor) -> float:
    """Effective rank of centered ``x_BD``: 1 = a line, 0 = a point."""
    spectrum = singular_values(x_BD.double() - x_BD.double().mean(0))
    return effective_rank(spectrum).item() if spectrum.any() else 0.0


class Tap:
    """Keeps what a module gives out, on the steps that are watched. The hook stays, so torch.compile sees one graph."""

    def __init__(self, module: nn.Module) -> None:
        self.armed = False
        self.kept: Tensor | None = None
        self._handle = module.register_forward_hook(self._keep)

    @torch.compiler.disable
    def _keep(self, module: nn.Module, args: Any, out: Any) -> None:
        if not self.armed or self.kept is not None:
            return
        x = out.pooled if isinstance(out, Features) else out
        if isinstance(x, Tensor) and x.dim() == 2 and len(x) > 1:
            self.kept = x.detach()[:ROWS]

    def take(self) -> Tensor | None:
        """What was kept, on the CPU, once."""
        x, self.kept, self.armed = self.kept, None, False
        return None if x is None else x.float().cpu()

    def remove(self) -> None:
        self._handle.remove()


@dataclass
class Watch:
    """Rank and deviation at the encoder and at the objective's ``projector``, and how long they have been bad."""

    encoder: nn.Module
    objective: nn.Module
    name: str
    low: int = 0
    taps: dict[str, Tap] = field(init=False)

    def __post_init__(self) -> None:
        self.taps = {"": Tap(self.encoder)}
        projector = getattr(self.objective, "projector", None)
        if isinstance(projector, nn.Module):
            self.taps["projector_"] = Tap(projector)

    def arm(self) -> None:
        """Keep the features of the step to come."""
        for tap in self.taps.values():
            tap.armed = True

    def close(self) -> None:
        for tap in self.taps.values():
            tap.remove()

    def read(self, parts: Mapping[str, float]) -> tuple[dict[str, float], str]:
        """``rank``, ``deviation`` (and the projector's), and what collapsed once it has lasted, or ``""``."""
        row: dict[str, float] = {}
        bad = [
            f"{name} is {value:.4f} (below {least})"
            for name, value in parts.items()
            for end, least in PARTS.items()
            if name.endswith(end) and value < least
        ]
        for prefix, tap in self.taps.items():
            x = tap.take()
            if x is None or not x.isfinite().all():
                continue
            rank, spread = rank_of(x), sphere_deviation(x.double()).item()
            row |= {f"{prefix}rank": rank, f"{prefix}deviation": spread}
            where = "projector" if prefix else "encoder"
            least = max(RANK_LEAST, RANK_SHARE * min(x.shape))
            if min(x.shape) >= 4 and rank < least:
                bad.append(f"effective rank at the {where} is {rank:.2f} (below {least:.2f} of {min(x.shape)})")
            if spread < DEVIATION:
                bad.append(f"deviation at the {where} is {spread:.4f} of a sphere's 1 (below {DEVIATION})")
        self.low = self.low + 1 if bad else 0
        return row, "; ".join(bad) if self.low >= PATIENCE else ""

    def message(self, what: str) -> str:
        """The warning."""
        cause = getattr(self.objective, "cause", UNKNOWN)
        return f"the features have collapsed: {what}. Likely cause for {self.name}: {cause}"
