"""vq-wav2vec, https://arxiv.org/abs/1910.05453: quantize frames, and predict future codes from past ones.

A frame is quantized by a Gumbel softmax over G codebooks, or by the nearest entry of each (k-means); causal
convolutions sum up the codes so far; for each of S steps ahead, the true code is told from those of N other frames of
the clip by binary classification (the loss of wav2vec, https://arxiv.org/abs/1904.05862). Differs: LayerNorm over
channels in the context network, where the authors normalize over time as well, which would let the future and the
padding in; the mean over all predictions, where they sum. The encoder should see a short stretch of sound around a
frame (``wav2vec``, the paper's): one that attends everywhere knows the future.

    # T packed frames, G clips, L frames of the longest, H frames with a future, N negatives, W width of a code
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Features, Layout, Loss, Needs, Progress, View
from unlabeled.draw import Draw
from unlabeled.errors import above, within
from unlabeled.nn.chance import draw_at, draw_others
from unlabeled.nn.clock import Clock
from unlabeled.nn.codebooks import GumbelProduct, NearestProduct, gumbel_noise
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full, full_precision
from unlabeled.nn.spread import union_perplexity
from unlabeled.transfer import numbers, which


def future_loss(
    predicted_GLW: Tensor, code_GLW: Tensor, place_GLN: Tensor, lengths: Sequence[int], ahead: int
) -> Tensor:
    """Binary cross-entropy of the code ``ahead`` frames on against N others, summed over them, of each frame: ``[H]``.

    ``place_GLN`` are the frames of the clip that frame t, as a truth, is compared with: never itself.
    """
    if ahead >= code_GLW.shape[1]:
        return predicted_GLW.sum((1, 2))[:0]  # no rows, but the weights take part: DDP fails on those that do not
    lengths_G = numbers(lengths, predicted_GLW.device)
    exists = torch.arange(code_GLW.shape[1] - ahead, device=code_GLW.device) < (lengths_G - ahead)[:, None]
    with full_precision(code_GLW):
        scores = full(predicted_GLW[:, :-ahead]) @ full(code_GLW).mT
    truth = scores.diagonal(offset=ahead, dim1=1, dim2=2)
    others = scores.gather(2, place_GLN[:, ahead:])
    kept = which(exists.flatten(), sum(max(0, length - ahead) for length in lengths))
    return (F.softplus(-truth) + F.softplus(others).sum(2)).flatten()[kept]


class CausalContext(nn.Module):
    """Causal convolutions with residuals over ``x[G, L, W]``: frame t sees frames up to t."""

    def __init__(self, width: int, depth: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.convolutions = nn.ModuleList(nn.Conv1d(width, width, kernel) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))

    def forward(self, x_GLW: Tensor) -> Tensor:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            past = F.pad(x_GLW.transpose(1, 2), (self.kernel - 1, 0))
            x_GLW = x_GLW + F.relu(norm(convolution(past).transpose(1, 2)))
        return x_GLW


class VQWav2Vec(nn.Module):
    """Prediction of future codes from a causal context.

    Args:
        width: of a code and of the context, d.
        quantizer: gumbel, or kmeans: the nearest entry.
        groups: codebooks, G.
        entries: of a codebook, V.
        steps: frames ahead that are predicted, K in the paper.
        negatives: codes of the clip that a truth is compared with, lambda in the paper.
        depth: causal convolutions of the context network; 12 in the paper.
        kernel: frames that each spans; 3, 4, ... 13 in the paper.
        gumbel_start: temperature of the Gumbel softmax at step 0.
        gumbel_end: least temperature.
        gumbel_decay: factor a step, in (0, 1]; 0.999995 in the paper.
        commitment: weight of what draws a frame to its entry, of kmeans alone; gamma, 0.25 in the paper.
    """

    cause = "codes that are chosen alike: let the Gumbel temperature fall more slowly, or lower the learning rate"

    def __init__(
        self,
        encoder: Any,
        *,
        width: int = 256,
        quantizer: Literal["gumbel", "kmeans"] = "gumbel",
        groups: int = 2,
        entries: int = 320,
        steps: int = 8,
        negatives: int = 10,
        depth: int = 4,
        kernel: int = 5,
        gumbel_start: float = 2.0,
        gumbel_end: float = 0.5,
        gumbel_decay: float = 0.9995,
        commitment: float = 0.25,
    ) -> None:
        super().__init__()
        above(0, width=width, steps=steps, negatives=negatives, depth=depth, kernel=kernel, gumbel_end=gumbel_end)
        within(0, 1, gumbel_decay=gumbel_decay)
        self.needs = Needs(views={"global": 1}, encoder=frozenset({"tokens"}))
        self.steps, self.negatives, self.gumbel = steps, negatives, (gumbel_start, gumbel_end, gumbel_decay)
        sizes = {"width": width, "groups": groups, "entries": entries}
        self.quantizer: GumbelProduct | NearestProduct
        if quantizer == "gumbel":
            self.quantizer = GumbelProduct(encoder.dim, **sizes)
            self.quantizer.anneal(0, *self.gumbel)
        else:
            self.quantizer = NearestProduct(encoder.dim, **sizes, commitment=commitment)
        self.context = CausalContext(width, depth, kernel)
        self.predict = nn.ModuleList(nn.Linear(width, width) for _ in range(steps))
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        losses, choices, latent = [], [], []
        for number, view in enumerate(views):
            features, draw = encoder(view), draw_at(self.clock.step, view.batch.ids, number)
            codes_TW, p_TGV, drawn_T = self._quantize(features, draw)
            losses += self._future(codes_TW, features.layout, draw)
            choices.append(p_TGV.detach())
            latent.append(drawn_T)
        future, drawn = union_mean(torch.cat(losses)), union_mean(torch.cat(latent))
        parts = {"code_perplexity": union_perplexity(torch.cat(choices)) / self.quantizer.groups}
        if isinstance(self.quantizer, GumbelProduct):
            return Loss(future, parts)
        return Loss(future + drawn, parts | {"future": future.detach(), "latent": drawn.detach()})

    def _quantize(self, features: Features, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
        """Codes ``[T, W]``, choices ``[T, G, V]``, and what k-means adds to the loss, ``[T]`` or none."""
        layout, noise = features.layout, None
        if not isinstance(self.quantizer, GumbelProduct):
            codes, ids, loss = self.quantizer(features.tokens)
            return codes, F.one_hot(ids, self.quantizer.entries).float(), loss
        if self.training:
            count = self.quantizer.groups * self.quantizer.entries
            noise = gumbel_noise(draw, layout.group, layout.within, count)
        codes, _, p = self.quantizer(features.tokens, noise)
        return codes, p, codes.new_zeros(0)

    def _future(self, codes_TW: Tensor, layout: Layout, draw: Draw) -> list[Tensor]:
        codes, _ = layout.dense(codes_TW)
        context, place = self.context(codes), draw_others(draw, layout.lengths, self.negatives)
        return [
            future_loss(predict(context), codes, place, layout.lengths, ahead)
            for ahead, predict in enumerate(self.predict, start=1)
        ]

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """A colder choice of codes."""
        if isinstance(self.quantizer, GumbelProduct):
            self.quantizer.anneal(progress.step, *self.gumbel)
