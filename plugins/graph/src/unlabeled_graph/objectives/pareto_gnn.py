"""ParetoGNN, https://arxiv.org/abs/2210.02016: five pretext tasks, weighted towards Pareto optimality.

Hidden features by a scaled cosine error, decoded by a GNN as in GraphMAE; links by a perceptron on the product of both
ends; DGI; InfoNCE between the subgraphs around a node in two views; and CCA-SSG. The weights are those of the convex
combination of the tasks' encoder gradients with the least norm (multiple-gradient descent), found by Frank-Wolfe at
each step. Differs: one pair of views of the whole batch serves all tasks, where the paper samples a subgraph for each;
CCA-SSG's term is divided by D, so that its loss is of the size of the others.

    # K tasks, P parameters of the encoder, T packed rows, B samples, D features
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Capability, Loss, MakeDecoder, Needs, View, role
from unlabeled.draw import Purpose
from unlabeled.errors import above, at_least
from unlabeled.nn.chance import permute_rows, row_words
from unlabeled.nn.clock import Clock
from unlabeled.nn.cosine import scaled_cosine
from unlabeled.nn.decoders import decode, mixes
from unlabeled.nn.discriminator import dgi_loss, locals_of, scores
from unlabeled.nn.distributed import mean_over_ranks, union_mean
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import nt_xent
from unlabeled.nn.precision import full
from unlabeled.nn.rows import target_rows
from unlabeled.nn.whitening import EPS, decorrelation_loss, invariance_loss, standardize
from unlabeled_graph.ops.links import absent_edges

TASKS = ("features", "links", "infomax", "contrast", "decorrelation")


def least_norm(products_KK: Tensor, steps: int = 250) -> Tensor:
    """``[K]`` weights, at least 0 and of sum 1, of the combination of least norm, from the vectors' inner products.

    Frank-Wolfe with the exact step along each edge (Sener and Koltun 2018, algorithm 2). No branch reads a number, so
    that nothing waits for an accelerator; a step that would lead nowhere has length 0.
    """
    count = len(products_KK)
    weights, corners = products_KK.new_full((count,), 1 / count), torch.eye(count).to(products_KK)
    for _ in range(steps):
        towards = products_KK @ weights
        corner = corners.index_select(0, towards.argmin(0, keepdim=True))[0]
        own, cross, there = weights @ towards, corner @ towards, corner @ products_KK @ corner
        share = ((own - cross) / (own - 2 * cross + there).clamp(min=1e-12)).clamp(0, 1)
        weights = torch.lerp(weights, corner, share)
    return weights


def task_products(losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> Tensor:
    """``[K, K]`` inner products of the losses' gradients, each scaled to length 1, averaged over ranks."""
    flat = []
    for loss in losses:
        found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        rows = [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]
        flat.append(torch.cat([g.flatten() for g in rows]))
    gradients = mean_over_ranks(torch.stack(flat))
    gradients = gradients / gradients.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return gradients @ gradients.T


class ParetoGNN(nn.Module):
    """Multi-task pre-training by multiple-gradient descent.

    Args:
        power: of the scaled cosine error, at least 1; 3 in the paper.
        temperature: of InfoNCE, above 0.
        decorrelation: weight within the CCA task, above 0; lambda of CCA-SSG.
        projection: width of the hidden layers of the heads of the link and the contrast task.
    """

    def __init__(
        self,
        encoder: Any,
        decoder: MakeDecoder,
        content: int,
        *,
        power: float = 3.0,
        temperature: float = 0.5,
        decorrelation: float = 1e-3,
        projection: int = 128,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature, decorrelation=decorrelation, projection=projection)
        at_least(1, power=power)
        can: frozenset[Capability] = frozenset({"tokens", "mask", "swap"})
        self.needs = Needs(
            views={"global": 2}, hidden=True, content=1, decoder=True, encoder=can, batch=2, couples=True, through=True
        )
        self.power, self.temperature, self.decorrelation = power, temperature, decorrelation
        self.bridge = nn.Linear(encoder.dim, encoder.dim, bias=False)
        self.decoder = decoder(dim=encoder.dim, width=content)
        self.link, self.linked = nn.Linear(encoder.dim, projection), nn.Linear(projection, 1)
        self.contrast = mlp((encoder.dim, projection, encoder.dim), norm="none")
        self.bilinear = nn.Parameter(torch.randn(encoder.dim, encoder.dim) / encoder.dim)
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        losses = self._losses(encoder, role(views, "global"))
        parameters = [p for p in encoder.parameters() if p.requires_grad]
        if torch.is_grad_enabled() and parameters:
            weights = least_norm(task_products(losses, parameters)).detach()
        else:
            weights = losses[0].new_full((len(losses),), 1 / len(losses))
        total = sum((w * loss for w, loss in zip(weights, losses, strict=True)), start=losses[0].new_zeros(()))
        parts = {name: loss.detach() for name, loss in zip(TASKS, losses, strict=True)}
        return Loss(total, parts | {f"weight_{n}": w for n, w in zip(TASKS, weights, strict=True)})

    def _losses(self, encoder: Any, views: Sequence[View]) -> list[Tensor]:
        masked = views[0]
        assert masked.content is not None
        assert masked.layout is not None
        index = target_rows(masked)
        again = self.bridge(encoder(masked).tokens)
        if mixes(self.decoder):
            again = again.index_fill(0, index, 0.0)
        rows = scaled_cosine(decode(self.decoder, again, masked.layout, index), masked.content[index], self.power)
        first, second = (encoder(view.clean()) for view in views[:2])
        a, b = (standardize(full(features.pooled), EPS) for features in (first, second))
        units = [unit(self.contrast(features.pooled)) for features in (first, second)]
        return [
            union_mean(rows),
            self._links(first, masked),
            self._infomax(encoder, first, masked),
            nt_xent(units[0], units[1], self.temperature, chunk=1024),
            (invariance_loss(a, b) + self.decorrelation * (decorrelation_loss(a) + decorrelation_loss(b))) / a.shape[1],
        ]

    def _links(self, features: Any, view: View) -> Tensor:
        layout, z = features.layout, torch.relu(self.link(unit(features.tokens)))
        words = row_words(view, layout, self.clock.step, Purpose.EDGE)
        true, false = (
            full(self.linked(z[ends[0]] * z[ends[1]])[:, 0])
            for ends in (layout.edges, absent_edges(words, layout.edges, layout))
        )
        return union_mean(torch.cat((F.softplus(-true), F.softplus(false))))

    def _infomax(self, encoder: Any, features: Any, view: View) -> Tensor:
        words = row_words(view, features.layout, self.clock.step, Purpose.SWAP)
        corrupt = encoder(replace(view.clean(), swap=permute_rows(words, features.layout)))
        local, mean, group = locals_of(features)
        weight, summary = full(self.bilinear), torch.sigmoid(full(mean))
        return dgi_loss(
            scores(full(local), summary, weight, group), scores(full(locals_of(corrupt)[0]), summary, weight, group)
        )
