"""Codes of nodes from a run of ``vqgraph`` or ``ssqr``: graph tokens for whatever reads tokens.

The codebook is part of the objective, so it is read from the run's checkpoint, whose tensors alone are loaded.

    # N samples, T packed rows, S codes of a row, D features
"""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Layout, View
from unlabeled.errors import UsageError
from unlabeled.nn.heads import unit
from unlabeled_graph.batch import GraphSpec
from unlabeled_graph.tokenizers.features import content_of

CHECKPOINT = Path("checkpoints") / "last.ckpt"
NAMES = ("enter.0.weight", "enter.1.running_mean", "enter.1.running_var", "quantizer.codebook")
BOOK = tuple(f"objective.quantizer.book.{name}" for name in ("sums", "counts"))


def codebook_of(run: Path) -> dict[str, Tensor]:
    """The tensors ``NAMES`` of a run: what leads to its codebook, and that; :class:`UsageError` where it has none."""
    path = run / CHECKPOINT
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    except (OSError, RuntimeError, KeyError, EOFError, UnpicklingError) as error:
        raise UsageError(f"{path} cannot be read: {str(error).splitlines()[0] if str(error) else error!r}") from error
    if set(BOOK) <= set(state):  # runs before the moving average hold the codebook itself
        sums, counts = (state[name] for name in BOOK)
        state["objective.quantizer.codebook"] = unit(sums / counts.clamp(min=1e-5)[:, None])
    found = {name: state[f"objective.{name}"].float() for name in NAMES if f"objective.{name}" in state}
    if len(found) < len(NAMES):
        raise UsageError(f"{run} has no codebook: give a run of objective vqgraph or ssqr")
    return found


def stand_in(dim: int, codes: int = 16) -> dict[str, Tensor]:
    """What :func:`codebook_of` gives, at random: codes of the encoder's own features."""
    book = (torch.eye(dim), torch.zeros(dim), torch.ones(dim), unit(torch.randn(codes, dim)))
    return dict(zip(NAMES, book, strict=True))


def code_cosines(tokens_TD: Tensor, codebook: Mapping[str, Tensor]) -> Tensor:
    """``[T S, K]``: the cosine of each part of each row with each code; S = 1 for vqgraph."""
    width = codebook["quantizer.codebook"].shape[1]
    weight = codebook["enter.0.weight"]
    entered = F.linear(tokens_TD.to(weight.dtype), weight)
    parts = F.batch_norm(entered, codebook["enter.1.running_mean"], codebook["enter.1.running_var"])
    return unit(parts.reshape(-1, width)) @ unit(codebook["quantizer.codebook"]).T


def nearest_codes(tokens_TD: Tensor, codebook: Mapping[str, Tensor]) -> Tensor:
    """``int64[T, S]``: the code of each part of each row; S = 1 for vqgraph."""
    return code_cosines(tokens_TD, codebook).argmax(1).reshape(len(tokens_TD), -1)


@torch.no_grad()
def codes_of(encoder: Any, codebook: Mapping[str, Tensor], batch: Any) -> Tensor:
    """``int64[T, S]`` of the rows of a batch."""
    return nearest_codes(encoder.eval()(View(batch, "clean")).tokens, codebook)


class Codes:
    """Content is each node's features, its id the code of its local structure: VQGraph's tokenizer, 2308.02117.

    Args:
        run: folder of a finished run of objective vqgraph; empty = none, and there are no ids.
    """

    def __init__(self, spec: GraphSpec, *, run: str = "") -> None:
        self.width, self.vocabulary = spec.features, 0
        if run:
            from unlabeled.api import load

            self.encoder, self.codebook = load(run).encoder, codebook_of(Path(run))
            if self.encoder.spec.features != spec.features:
                raise ValueError(f"{run} was trained on {self.encoder.spec.features} features, found {spec.features}")
            self.vocabulary = len(self.codebook["quantizer.codebook"])

    def __call__(self, batch: Any, layout: Layout) -> tuple[Tensor, Tensor | None]:
        if not self.vocabulary:
            return content_of(batch), None
        if "codes" not in batch.memo:
            self.encoder.to(batch.device)
            self.codebook = {name: part.to(batch.device) for name, part in self.codebook.items()}
            batch.memo["codes"] = codes_of(self.encoder, self.codebook, batch)
        ids = batch.memo["codes"]
        return content_of(batch), ids[:, 0] if ids.shape[1] == 1 else ids
