"""Unsupervised SimCSE, https://arxiv.org/abs/2104.08821: a sentence encoded twice, under two draws of dropout.

The second pass of a sentence is found among those of the batch. Differs: any two global views serve (deleted words as
well as dropout), and identical views under dropout 0 are refused, where the authors' code would go on.

    # B samples, D features
"""

from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above, at_least
from unlabeled_text.ops.contrast import Twins, projector, sentence_nce


class SimCSE(nn.Module):
    """Contrast of two passes over the same sentence.

    Args:
        temperature: of the softmax over cosines, above 0; tau in the paper, 0.05.
        head: tanh = a Linear and tanh that training alone uses, as in the paper; none = the pooled vector.
        chunk: rows of the similarity matrix held at a time; 0 = all.
    """

    cause = "views that share a shortcut, too high a temperature, or too high a learning rate"

    def __init__(
        self, encoder: Any, *, temperature: float = 0.05, head: Literal["tanh", "none"] = "tanh", chunk: int = 0
    ) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, chunk=chunk)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.temperature, self.chunk = temperature, chunk
        self.head = projector(head, encoder.dim)
        self.twins = Twins(encoder)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        pair = role(views, "global")[:2]
        self.twins.check(pair)
        query, key = (self.head(encoder(view).pooled) for view in pair)
        return Loss(sentence_nce(query, key, self.temperature, chunk=self.chunk))
