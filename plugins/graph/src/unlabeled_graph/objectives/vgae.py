"""Variational graph autoencoder, https://arxiv.org/abs/1611.07308: an inner product of node codes tells who is linked.

Differs: the encoder's output is the mean, so that what is exported is what the paper embeds with; a linear head of it
gives the log deviation. Each edge is compared with as many random pairs of the same graph (``recon_loss`` takes the
negatives as an argument), not with all N^2 pairs.

    # T packed rows, E edges, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View
from unlabeled.draw import Purpose
from unlabeled.errors import at_least
from unlabeled.nn.chance import normal, row_words
from unlabeled.nn.clock import Clock
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled_graph.ops.links import absent_edges, link_scores

MOST = 10.0  # of the log deviation


def recon_loss(z_TD: Tensor, edges_2E: Tensor, absent_2E: Tensor) -> Tensor:
    """Mean cross-entropy of true edges, plus that of absent ones, over all ranks."""
    return union_mean(F.softplus(-link_scores(z_TD, edges_2E))) + union_mean(F.softplus(link_scores(z_TD, absent_2E)))


def kl_rows(mean_TD: Tensor, log_std_TD: Tensor) -> Tensor:
    """``[T]``: divergence of N(mean, std^2) from the standard normal."""
    log_std_TD = log_std_TD.clamp(max=MOST)
    return -0.5 * (1 + 2 * log_std_TD - mean_TD.square() - log_std_TD.exp().square()).sum(1)


class VGAE(nn.Module):
    """Reconstruct the edges from noisy codes.

    Args:
        kl: weight of the divergence per node, at least 0; 1 / N in the paper's code.
        noise: whether codes are sampled; off = GAE, with no divergence.
    """

    def __init__(self, encoder: Any, *, kl: float = 1e-3, noise: bool = True) -> None:
        super().__init__()
        at_least(0, kl=kl)
        self.needs = Needs(views={"global": 1}, encoder=frozenset({"tokens"}))
        self.kl, self.noise = kl, noise
        self.log_std = nn.Linear(encoder.dim, encoder.dim) if noise else None
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        terms = [self._terms(encoder, view) for view in views]
        recon, kl = (torch.stack(parts).mean() for parts in zip(*terms, strict=True))
        return Loss(recon + self.kl * kl, {"recon": recon.detach(), "kl": kl.detach()})

    def _terms(self, encoder: Any, view: View) -> tuple[Tensor, Tensor]:
        features = encoder(view)
        layout, mean = features.layout, full(features.tokens)
        assert layout.edges is not None
        words = row_words(view, layout, self.clock.step, Purpose.EDGE)
        absent = absent_edges(words, layout.edges, layout)
        if self.log_std is None:
            return recon_loss(mean, layout.edges, absent), mean.new_zeros(())
        log_std = full(self.log_std(features.tokens)).clamp(max=MOST)
        noise = normal(row_words(view, layout, self.clock.step, Purpose.NOISE), mean.shape[1]).to(mean.dtype)
        return recon_loss(mean + noise * log_std.exp(), layout.edges, absent), union_mean(kl_rows(mean, log_std))
