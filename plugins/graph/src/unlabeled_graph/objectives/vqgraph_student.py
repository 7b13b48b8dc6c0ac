"""VQGraph's distillation, https://arxiv.org/abs/2308.02117: an encoder without edges learns the codes of nodes.

The teacher is a run of ``vqgraph``: its encoder, which sees the graph, gives each node a soft assignment to all codes,
and the student (``--encoder mlp``) is to give the same from the node's features alone, by the divergence of the two at
a temperature. Differs: labels and logits, which the paper's student has beside it, are left to ``finetune``; both sides
compare with codes by their cosine, where the released student takes distances.

    # T packed rows, K codes, D features
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.errors import UsageError, above
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.heads import unit
from unlabeled.nn.precision import full
from unlabeled.nn.teacher import Frozen
from unlabeled_graph.tokenizers.codes import code_cosines, codebook_of, stand_in


def assignment_loss(student_TK: Tensor, teacher_TK: Tensor, temperature: float) -> Tensor:
    """``[T]``: divergence of the student's soft assignments from the teacher's, times the squared temperature."""
    guess = (student_TK / temperature).log_softmax(1)
    truth = (teacher_TK / temperature).softmax(1)
    return F.kl_div(guess, truth, reduction="none").sum(1) * temperature**2


class VQGraphStudent(nn.Module):
    """Distill a graph tokenizer into an encoder that reads no edges.

    Args:
        run: folder of a finished run of objective vqgraph; empty = codes at random and the encoder's own start, for
            tests.
        temperature: of both assignments, above 0; tau, 4 in the paper.
    """

    cause = "a tokenizer whose codes are chosen alike: see its perplexity"

    def __init__(self, encoder: Any, frozen: Any = None, *, run: str = "", temperature: float = 4.0) -> None:
        super().__init__()
        above(0, temperature=temperature)
        self.needs = Needs(views={"global": 1}, encoder=frozenset({"tokens"}))
        self.temperature = temperature
        self.teacher = Frozen(frozen, encoder)
        book = codebook_of(Path(run)) if run else stand_in(encoder.dim)
        self.names = tuple(book)
        for name, part in book.items():
            self.register_buffer(name.replace(".", "_"), part, persistent=not run)
        width = book["quantizer.codebook"].shape[1]
        if len(book["enter.0.weight"]) != width:
            raise UsageError(f"{run} gives a node several codes; give a run of objective vqgraph")
        self.project = nn.Linear(encoder.dim, width)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        losses, agreed = zip(*(self._rows(encoder, view) for view in views), strict=True)
        return Loss(union_mean(torch.cat(losses)), {"agreement": union_mean(torch.cat(agreed).float())})

    def _rows(self, encoder: Any, view: View) -> tuple[Tensor, Tensor]:
        """Of each row its loss, and whether the nearest code is the teacher's."""
        book = {name: getattr(self, name.replace(".", "_")) for name in self.names}
        with torch.no_grad():
            truth = code_cosines(full(self.teacher(view).tokens), book)
        guess = unit(self.project(encoder(view).tokens)) @ unit(book["quantizer.codebook"]).T
        return assignment_loss(guess, truth, self.temperature), guess.argmax(1) == truth.argmax(1)
