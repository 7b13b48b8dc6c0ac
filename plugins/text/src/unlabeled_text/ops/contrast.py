"""Contrast of sentences: InfoNCE of one view against the other, and views that must differ.

# B samples of all ranks, b of this rank, D features
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from unlabeled.contract import View
from unlabeled.errors import UsageError
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import unit
from unlabeled.nn.infonce import info_nce, nt_xent, own_rows
from unlabeled.nn.precision import full_precision
from unlabeled_text.ops.vocabulary import shown_of


def sentence_nce(query_bD: Tensor, key_bD: Tensor, temperature: float, *, chunk: int = 0) -> Tensor:
    """Mean cross-entropy of each text's second view among the second views of the batch, by cosine.

    SimCSE's loss, equation 1 of https://arxiv.org/abs/2104.08821. First views are no negatives, unlike in NT-Xent.
    """
    with full_precision(query_bD):
        query, key = unit(query_bD), unit(key_bD)
        return info_nce(query, gather(key), own_rows(key), temperature, chunk=chunk)


def contrast_of(first_bD: Tensor, second_bD: Tensor, temperature: float, kind: str) -> Tensor:
    """``nt_xent``: all other vectors are negatives; ``one_way``: the second views of other texts are."""
    if kind == "one_way":
        return sentence_nce(first_bD, second_bD, temperature)
    with full_precision(first_bD):
        return nt_xent(unit(first_bD), unit(second_bD), temperature)


def greatest_dropout(encoder: nn.Module) -> float:
    """The greatest dropout probability anywhere in a model, as modules or as numbers that its attention reads."""
    found = [0.0]
    for module in encoder.modules():
        if "drop" in type(module).__name__.lower():
            found += [v for n in ("p", "drop_prob") if isinstance(v := getattr(module, n, None), float)]
        found += [v for n, v in vars(module).items() if "drop" in n and isinstance(v, float)]
    return max(found)


class Twins:
    """Refuses two views of the same tokens where no dropout makes them differ, at the first batch."""

    def __init__(self, encoder: nn.Module) -> None:
        self.dropout, self.seen = greatest_dropout(encoder), False

    def check(self, views: Sequence[View]) -> None:
        """``UsageError`` where two views are the same and stay so."""
        if self.seen or self.dropout > 0 or len(views) < 2:
            return
        self.seen = True  # once: comparing waits for an accelerator
        first, second = shown_of(views[0]), shown_of(views[1])
        if first.shape == second.shape and bool((first == second).all()) and views[0].hidden is None:
            raise UsageError(
                "both views of a text have the same tokens and the encoder has dropout 0, so they are identical and "
                "there is nothing to learn: set --encoder.dropout 0.1, or choose views that differ, such as "
                "--views spans"
            )


def projector(kind: str, dim: int) -> Any:
    """``tanh``: SimCSE's Linear and tanh, used in training alone; ``none``: the pooled vector itself."""
    return nn.Sequential(nn.Linear(dim, dim), nn.Tanh()) if kind == "tanh" else nn.Identity()
