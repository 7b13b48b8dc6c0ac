"""I-Con, https://arxiv.org/abs/2504.16929: one loss from a supervisory and a learned neighborhood.

The mean over samples of KL(p(.|i) || q(.|i)): p says which others belong to i, q how the features have it. Cosines of
views are SimCLR; Gaussians and Student's t are (symmetric-free) t-SNE; clusters that are shared are a soft k-means.
Mixing p or q with the uniform neighborhood is the paper's debiasing. Differs: as an objective p is the other views of a
sample; neighborhoods of a graph or of labels are functions here alone.

    # R anchors of this rank, K rows of all ranks (anchors among them), D features, C clusters
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, View, role
from unlabeled.errors import above, at_least, below_one
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import own_rows
from unlabeled.nn.precision import full, full_precision


def neighborhood_loss(p_RK: Tensor, log_q_RK: Tensor) -> Tensor:
    """Equation 1: the mean over anchors of KL(p || q), where an entry of p that is 0 asks nothing of q."""
    cross = torch.where(p_RK > 0, p_RK * log_q_RK, 0.0).sum(1)
    return (torch.special.xlogy(p_RK, p_RK).sum(1) - cross).mean()


def without(scores_RK: Tensor, own_R: Tensor) -> Tensor:
    """Logarithms of the neighborhood in proportion to exp(scores), in which no anchor is its own neighbor."""
    return scores_RK.scatter(1, own_R[:, None], -torch.inf).log_softmax(1)


def log_gaussian(x_RD: Tensor, keys_KD: Tensor, own_R: Tensor, sigma: float = 1.0) -> Tensor:
    """In proportion to exp(-distance^2 / 2 sigma^2): SNE's of points."""
    return without(-torch.cdist(x_RD, keys_KD).square() / (2 * sigma**2), own_R)


def log_student(x_RD: Tensor, keys_KD: Tensor, own_R: Tensor) -> Tensor:
    """In proportion to 1 / (1 + distance^2): t-SNE's of embeddings."""
    squared = x_RD.square().sum(1)[:, None] + keys_KD.square().sum(1) - 2 * x_RD @ keys_KD.T
    return without(-squared.clamp(min=0).log1p(), own_R)


def log_cosine(x_RD: Tensor, keys_KD: Tensor, own_R: Tensor, temperature: float) -> Tensor:
    """In proportion to exp(cosine / temperature), of unit vectors: SimCLR's."""
    return without(x_RD @ keys_KD.T / temperature, own_R)


def log_clusters(c_RC: Tensor, keys_KC: Tensor, own_R: Tensor) -> Tensor:
    """The chance to meet j in a cluster of i, drawn by its shares: sum_c c_i c_j / sum_k c_k; k-means' where hard."""
    size_C = keys_KC.sum(0).clamp(min=torch.finfo(keys_KC.dtype).tiny)
    met = (c_RC / size_C) @ keys_KC.T
    return without(met.clamp(min=torch.finfo(met.dtype).tiny).log(), own_R)


def mixed(log_q_RK: Tensor, own_R: Tensor, share: float) -> Tensor:
    """Logarithms of (1 - share) q + share * uniform over the K - 1 others, the paper's debiasing."""
    if not share:
        return log_q_RK
    uniform = log_q_RK.new_full((), math.log(share / (log_q_RK.shape[1] - 1)))
    return torch.logaddexp(log_q_RK + math.log1p(-share), uniform).scatter(1, own_R[:, None], -torch.inf)


def of_views(own_R: Tensor, samples: int, views: int) -> Tensor:
    """``p[R, K]``: uniform over the other views of the anchor's sample; rows are view after view."""
    place = torch.arange(samples * views, device=own_R.device)
    same = place[None] % samples == own_R[:, None] % samples
    return (same & (place[None] != own_R[:, None])).float() / (views - 1)


class ICon(nn.Module):
    """Learned neighborhoods follow those of views.

    Args:
        projector: widths of the projection head, hidden and output (with clusters: their number).
        learned: what q is: cosine (SimCLR), student (t-SNE) or clusters.
        temperature: of cosines, above 0.
        debias: share of the uniform neighborhood in p, in [0, 1); alpha in the paper.
        debias_learned: the same of q.
    """

    cause = "views that share a shortcut, too high a temperature, or too high a learning rate"

    def __init__(
        self,
        encoder: Any,
        *,
        projector: tuple[int, ...] = (512, 128),
        learned: Literal["cosine", "student", "clusters"] = "cosine",
        temperature: float = 0.2,
        debias: float = 0.0,
        debias_learned: float = 0.0,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, debias=debias, debias_learned=debias_learned)
        below_one(debias=debias, debias_learned=debias_learned)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.learned, self.temperature, self.debias, self.debias_learned = learned, temperature, debias, debias_learned
        self.projector = mlp((encoder.dim, *projector))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        z = [self.projector(encoder(view).pooled) for view in role(views, "global")]
        with full_precision(z[0]):
            total = neighborhood_loss(*self._neighborhoods(z))
        return Loss(total, {"kl": total.detach()})

    def _neighborhoods(self, z: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        rows = [F.softmax(full(x), 1) if self.learned == "clusters" else unit(x) for x in z]
        keys, samples = torch.cat([gather(x) for x in rows]), len(gather(rows[0]))
        own = torch.cat([own_rows(x) + number * samples for number, x in enumerate(rows)])
        anchors = torch.cat(rows)
        if self.learned == "cosine":
            log_q = log_cosine(anchors, keys, own, self.temperature)
        else:
            log_q = (log_student if self.learned == "student" else log_clusters)(anchors, keys, own)
        p = mixed(of_views(own, samples, len(z)).to(log_q.dtype).log(), own, self.debias).exp()
        return p, mixed(log_q, own, self.debias_learned)
