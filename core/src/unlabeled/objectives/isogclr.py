"""iSogCLR, https://arxiv.org/abs/2305.11965: contrast whose temperature is learned for each sample.

The robust loss tau_i log mean_j exp((s_ij - s_ii) / tau_i) + tau_i rho over negatives j, minimized over the encoder and
each tau_i. Moving averages by sample of the inner mean, and of the slope in tau_i, stand in for a large batch
(algorithm 1): a sample with many likes gets a higher temperature. Differs: averages are kept as logarithms, and span
all ranks.

    # N samples of the data, B samples of all ranks, b samples of this rank, R = 2b anchors, D features
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View, role
from unlabeled.errors import above, at_least, within
from unlabeled.nn.distributed import gather
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import own_rows
from unlabeled.nn.per_sample import PerSample
from unlabeled.nn.precision import full_precision


def margins(a_bD: Tensor, b_bD: Tensor) -> Tensor:
    """``[2, b, 2 B - 2]``: similarity with each negative minus that with the positive, of both views' unit vectors."""
    keys, own = torch.cat((gather(a_bD), gather(b_bD))), own_rows(a_bD)
    others = torch.arange(len(keys) - 2, device=own.device).expand(len(own), -1)
    for left_out in (own, own + len(keys) // 2):  # both views of the anchor's sample, the lower place first
        others = others + (others >= left_out[:, None])
    positive = (a_bD * b_bD).sum(1)[:, None]
    return torch.stack([(x @ keys.T).gather(1, others) - positive for x in (a_bD, b_bD)])


class ISogCLR(nn.Module):
    """Pull two views together, push others away, with a temperature for each sample.

    Args:
        projector: widths of the projection head after the encoder, hidden and output.
        temperature: that all samples start with, above 0; 0.7 in the paper.
        least: lowest temperature, above 0; tau_0, 0.05 in the paper.
        most: highest temperature, above 0.
        rho: how far the distribution over negatives may be from uniform, at least 0; 0.1 to 0.3 in the paper.
        average: momentum of the moving averages, in [0, 1]; 1 - beta in the paper.
        lr: of the temperatures, at least 0.
    """

    cause = "temperatures that ran to a bound, views that share a shortcut, or too high a learning rate"

    def __init__(
        self, encoder: Any, samples: int, *, projector: tuple[int, ...] = (512, 128), temperature: float = 0.5,
        least: float = 0.05, most: float = 1.0, rho: float = 0.3, average: float = 0.2, lr: float = 0.05,
    ) -> None:  # fmt: skip
        super().__init__()
        above(0, temperature=temperature, least=least, most=most)
        at_least(0, rho=rho, lr=lr)
        within(0, 1, average=average)
        within(least, most, temperature=temperature)
        self.needs = Needs(views={"global": 2}, batch=2, couples=True)
        self.least, self.most, self.rho, self.average, self.lr = least, most, rho, average, lr
        self.projector = mlp((encoder.dim, *projector))
        self.temperature = PerSample(samples, start=temperature)
        self.inner = PerSample(samples, (2,))  # log of the moving average of mean_j exp(h / tau), of both views
        self.slope = PerSample(samples)
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []  # of this step: state changes after the backward pass

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        chosen = role(views, "global")[:2]
        z = [self.projector(encoder(view).pooled) for view in chosen]
        ids = chosen[0].batch.ids
        with full_precision(z[0]):
            h = margins(*(unit(z_BD) for z_BD in z))
            tau = self.temperature.read(ids)[None, :, None]
            log_inner = self._averaged(ids, torch.logsumexp(h.detach() / tau, 2) - math.log(h.shape[2]))
            weight = (h.detach() / tau - log_inner[..., None]).exp() / h.shape[2]
            total = (weight * h).sum(2).mean()
            if self.training:
                slope = (log_inner + self.rho - (weight * h.detach() / tau).sum(2)).mean(0)
                self._pending.append((ids, log_inner.T, slope))
        robust = (tau[..., 0] * (log_inner + self.rho)).mean()
        return Loss(total, {"robust": robust, "temperature": tau.mean()})

    def _averaged(self, ids: Tensor, now_2b: Tensor) -> Tensor:
        """log of average * old + (1 - average) * new; a sample's first value as it is."""
        old = torch.where(self.inner.seen[ids][:, None], self.inner.read(ids), now_2b.T).T
        shares = math.log(max(self.average, 1e-30)), math.log(max(1 - self.average, 1e-30))
        return torch.logaddexp(old + shares[0], now_2b + shares[1])

    def after_step(self, encoder: Any, progress: Progress) -> None:
        for ids, log_inner, slope in self._pending:
            self.inner.update(ids, log_inner)
            self.slope.update(ids, slope, self.average)
            moved = self.temperature.read(ids) - self.lr * self.slope.read(ids)
            self.temperature.update(ids, moved.clamp(self.least, self.most))
        self._pending.clear()
