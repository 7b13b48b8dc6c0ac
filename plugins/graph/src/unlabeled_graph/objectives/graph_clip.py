"""GraphCLIP, https://arxiv.org/abs/2410.10329: graphs beside texts that describe them, by symmetric InfoNCE.

The text side is frozen: embeddings of any sentence encoder, read from a file, or hashed words of a plain summary of
each graph (``data/texts.py``). Graphs are made robust by an adversarial change of node features that raises the loss
for a few inner steps; the mean of the loss over these steps is minimized. Differs: the paper's texts are written by a
language model; ours are what the file holds.

    # B samples of all ranks, b samples of this rank, T packed rows, F node features, D features of a text
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above, at_least
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import unit
from unlabeled.nn.infonce import info_nce, own_rows
from unlabeled.nn.precision import full_precision
from unlabeled_graph.data.texts import hashed, read_texts, summaries
from unlabeled_graph.ops.sparse import dense

HASHED = 256  # width of hashed summaries


def clip_loss(graph_bD: Tensor, text_bD: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE of unit vectors."""
    own = own_rows(graph_bD)
    sides = [info_nce(q, gather(k), own, temperature) for q, k in ((graph_bD, text_bD), (text_bD, graph_bD))]
    return torch.stack(sides).mean()


class GraphCLIP(nn.Module):
    """Align graphs with frozen text embeddings.

    Args:
        texts: .npz file with ``embeddings[N, D]``, one of each sample; empty = hashed summaries of the graphs.
        temperature: of the softmax over similarities, above 0; tau.
        inner: adversarial steps, at least 0; 3 in the paper.
        radius: change of each node feature a step, at least 0, in units of the features.
    """

    cause = "texts that are nearly all the same, too high a temperature, or too high a learning rate"
    texts: Tensor

    def __init__(
        self,
        encoder: Any,
        samples: int,
        *,
        texts: str = "",
        temperature: float = 0.1,
        inner: int = 3,
        radius: float = 1e-2,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, inner=inner, radius=radius)
        self.needs = Needs(views={"global": 1}, batch=2, couples=True, through=True)
        self.temperature, self.inner, self.radius = temperature, inner, radius
        found = read_texts(texts, samples) if texts else torch.zeros(0, HASHED)
        self.register_buffer("texts", found, persistent=False)
        self.project = nn.Linear(encoder.dim, found.shape[1])

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        losses = [self._view(encoder, view) for view in role(views, "global")]
        total = torch.stack(losses).mean()
        return Loss(total, {"clip": total.detach()})

    def _view(self, encoder: Any, view: View) -> Tensor:
        text = unit(self._text(view))
        if not self.inner or not torch.is_grad_enabled():
            return self._loss(encoder, view, text)
        batch: Any = view.batch
        x, losses = dense(batch.x), []
        change = torch.zeros_like(x).requires_grad_()
        for _ in range(self.inner):
            moved = replace(view, batch=batch.altered(x=x + change))
            losses.append(self._loss(encoder, moved, text))
            (slope,) = torch.autograd.grad(losses[-1], change, retain_graph=True)
            change = (change.detach() + self.radius * slope.sign()).requires_grad_()
        return torch.stack(losses).mean()

    def _loss(self, encoder: Any, view: View, text_bD: Tensor) -> Tensor:
        graph = self.project(encoder(view).pooled)
        with full_precision(graph):
            return clip_loss(unit(graph), text_bD, self.temperature)

    def _text(self, view: View) -> Tensor:
        if len(self.texts):
            return self.texts[view.batch.ids]
        return hashed(summaries(view.batch), HASHED).to(self.project.weight)
