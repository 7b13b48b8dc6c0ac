"""GraphCLIP, https://arxiv.org/abs/2410.10329: graphs beside texts that describe them, by symmetric InfoNCE.

The text side is frozen: embeddings of any sentence encoder, read from a file, or hashed words of a plain summary of
each graph as the clean view has it (``data/texts.py``). Graphs are made robust by an adversarial change of node
features, which starts at random and raises the loss for a few inner steps; the mean of the loss over these steps is
minimized. Differs: the paper's texts are written by a language model, ours are what the file holds; the paper samples a
subgraph around each node by random walks, here ``--data.sampling neighbors`` draws neighborhoods; zero-shot
classification by texts of classes and graph prompt tuning are not here.

    # B samples of all ranks, b samples of this rank, T packed rows, F node features, D features of a text
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.draw import Purpose
from unlabeled.errors import above, at_least
from unlabeled.nn.chance import more_words, row_words, uniform
from unlabeled.nn.clock import Clock
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import unit
from unlabeled.nn.infonce import info_nce, own_rows
from unlabeled.nn.precision import full, full_precision
from unlabeled_graph.data.texts import hashed, read_texts, summaries
from unlabeled_graph.ops.sparse import dense

HASHED = 256  # width of hashed summaries
MOST = math.log(100.0)  # of 1 / tau, as CLIP bounds it


def clip_loss(graph_bD: Tensor, text_bD: Tensor, temperature: Tensor | float) -> Tensor:
    """Symmetric InfoNCE of unit vectors."""
    own = own_rows(graph_bD)
    sides = [info_nce(q / temperature, gather(k), own, 1.0) for q, k in ((graph_bD, text_bD), (text_bD, graph_bD))]
    return torch.stack(sides).mean()


class GraphCLIP(nn.Module):
    """Align graphs with frozen text embeddings.

    Args:
        texts: .npz file with ``embeddings[N, D]``, one of each sample; empty = hashed summaries of the graphs.
        temperature: of the softmax over similarities at the start, above 0; tau, which is learned, at least 0.01.
        inner: adversarial forward passes, at least 0; 3 in the paper.
        radius: change of each node feature a step, and the bound of the random start, at least 0, in units of the
            features.
    """

    cause = "texts that are nearly all the same, too high a temperature, or too high a learning rate"
    texts: Tensor

    def __init__(
        self,
        encoder: Any,
        samples: int,
        *,
        texts: str = "",
        temperature: float = 0.07,
        inner: int = 3,
        radius: float = 1e-2,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, inner=inner, radius=radius)
        # a summary is of the graph, which a view has changed
        views = {"global": 1} if texts else {"global": 1, "clean": 1}
        self.needs = Needs(views=views, uses=("clean",) if texts else (), batch=2, couples=True, through=True)
        self.inner, self.radius = inner, radius
        found = read_texts(texts, samples) if texts else torch.zeros(0, HASHED)
        self.register_buffer("texts", found, persistent=False)
        self.project = nn.Linear(encoder.dim, found.shape[1])
        self.scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        text = unit(self._text(views))
        losses = [self._view(encoder, view, text, number) for number, view in enumerate(role(views, "global"))]
        total = torch.stack(losses).mean()
        return Loss(total, {"clip": total.detach(), "temperature": 1 / self._scale().detach()})

    def _scale(self) -> Tensor:
        """1 / tau."""
        return full(self.scale).clamp(max=MOST).exp()

    def _view(self, encoder: Any, view: View, text: Tensor, number: int) -> Tensor:
        if not self.inner or not torch.is_grad_enabled():
            return self._loss(encoder, view, text)
        batch: Any = view.batch
        x, losses = dense(batch.x), []
        change = self._start(encoder, view, x, number).requires_grad_()
        for turn in range(self.inner):
            losses.append(self._loss(encoder, replace(view, batch=batch.featured(x + change)), text))
            if turn < self.inner - 1:
                (slope,) = torch.autograd.grad(losses[-1], change, retain_graph=True)
                change = (change.detach() + self.radius * slope.sign()).requires_grad_()
        return torch.stack(losses).mean()

    def _start(self, encoder: Any, view: View, x_TF: Tensor, number: int) -> Tensor:
        """``[T, F]``, each number even in +-radius."""
        words = row_words(view, encoder.layout(view.batch), self.clock.step, Purpose.NOISE, number)
        return (2 * uniform(more_words(words, x_TF.shape[1])).to(x_TF.dtype) - 1) * self.radius

    def _loss(self, encoder: Any, view: View, text_bD: Tensor) -> Tensor:
        graph = self.project(encoder(view).pooled)
        with full_precision(graph):
            return clip_loss(unit(graph), text_bD, 1 / self._scale())

    def _text(self, views: Sequence[View]) -> Tensor:
        """``[b, D]``: of the samples as they are, whatever their views show."""
        if len(self.texts):
            return self.texts[views[0].batch.ids]
        return hashed(summaries(role(views, "clean")[0].batch), HASHED).to(self.project.weight)
