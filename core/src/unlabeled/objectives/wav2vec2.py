"""wav2vec 2.0, https://arxiv.org/abs/2006.11477: tell the code of a hidden frame from codes of others of its clip.

Contrastive term (equation 3): cosines over a temperature with the true code and K distractors from hidden frames of the
same clip; distractors equal to the truth do not count. Diversity term (equation 4), with the perplexity taken over the
hidden frames of all ranks. Differs: both are means over hidden frames, where the authors' code sums; the penalty on the
convolutional features is that code's; distractors are drawn by (step, sample, frame).

Distractors enter as counts: with M hidden frames in a clip, one M x M product of matrices has the cosines of all
pairs, and a distractor that was drawn n times adds n exponentials. Gathering K vectors for each frame, as the
authors' code and transformers do, gives the same numbers for K / M times the memory and a hundred times the time.

    # G clips, H hidden frames of all clips, M of the longest clip, K distractors, W width of a code, T packed frames
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Layout, Loss, Needs, Progress, View
from unlabeled.draw import Draw
from unlabeled.errors import above, at_least, within
from unlabeled.nn.chance import draw_at, draw_others
from unlabeled.nn.clock import Clock
from unlabeled.nn.codebooks import GumbelProduct, gumbel_noise
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.heads import unit
from unlabeled.nn.infonce import against
from unlabeled.nn.precision import full_precision
from unlabeled.nn.spread import union_perplexity
from unlabeled.nn.units import local_deviation, local_penalty
from unlabeled.transfer import numbers


def count_distractors(place_GMK: Tensor, lengths: Sequence[int]) -> Tensor:
    """``[G, M, M]``: how often each frame was drawn for each; 0 where either is no frame of the clip."""
    groups, longest, _ = place_GMK.shape
    counts = place_GMK.new_zeros(groups, longest, longest + 1, dtype=torch.float32)
    counts.scatter_add_(2, place_GMK, torch.ones_like(place_GMK, dtype=torch.float32))
    real = torch.arange(longest, device=counts.device) < numbers(lengths, counts.device)[:, None]
    return counts[:, :, :longest] * real[:, None] * real[:, :, None]


def contrastive_loss(
    context_HW: Tensor, target_HW: Tensor, codes_H: Tensor, counts_GMM: Tensor, layout: Layout, temperature: float = 0.1
) -> Tensor:
    """-log of the truth's share among truth and distractors, of each hidden frame: ``[H]``.

    ``codes_H`` is one number a code: frames with equal codes are no distractors of each other. ``layout`` has the
    hidden frames of each clip.
    """
    context, _ = layout.dense(unit(context_HW))
    target, _ = layout.dense(unit(target_HW))
    codes, _ = layout.dense(codes_H)
    with full_precision(context):
        scores = context @ target.mT / temperature
    same = codes[:, :, None] == codes[:, None, :]
    weight = counts_GMM.masked_fill(same, 0.0)  # 0 of the truth too, whose code is its own
    others = scores.masked_fill(weight == 0, -torch.inf) + weight.clamp(min=1).log()
    loss = against(others.logsumexp(2), scores.diagonal(dim1=1, dim2=2))
    return layout.pack(loss)


def diversity_loss(perplexity: Tensor, groups: int, entries: int) -> Tensor:
    """Share of the codebooks' entries that are not in use, 0 to 1."""
    return 1 - perplexity / (groups * entries)


class Wav2Vec2(nn.Module):
    """Contrastive prediction of quantized hidden frames. Needs an encoder with convolutional features.

    Args:
        width: in which context and code are compared.
        code_width: of a code, all groups together, d.
        groups: codebooks, G.
        entries: of a codebook, V.
        distractors: other hidden frames of the clip that each is compared with, K.
        temperature: divides the cosines, kappa.
        diversity: weight of the diversity term, alpha.
        penalty: weight of the mean square of the convolutional features.
        gumbel_start: temperature of the Gumbel softmax at step 0.
        gumbel_end: least temperature.
        gumbel_decay: factor a step, in (0, 1]; 0.999995 in the paper's 400,000 steps.
    """

    cause = (
        "codes that are chosen alike: raise the weight of diversity, let the Gumbel temperature fall more "
        "slowly, or lower the learning rate"
    )

    def __init__(
        self,
        encoder: Any,
        *,
        width: int = 256,
        code_width: int = 256,
        groups: int = 2,
        entries: int = 320,
        distractors: int = 100,
        temperature: float = 0.1,
        diversity: float = 0.1,
        penalty: float = 10.0,
        gumbel_start: float = 2.0,
        gumbel_end: float = 0.5,
        gumbel_decay: float = 0.9995,
    ) -> None:
        super().__init__()
        above(0, width=width, distractors=distractors, temperature=temperature, gumbel_end=gumbel_end)
        at_least(0, diversity=diversity, penalty=penalty)
        within(0, 1, gumbel_decay=gumbel_decay)
        local = getattr(encoder, "local_dim", 0) or encoder.dim  # an encoder without is refused by needs
        self.needs = Needs(
            views={"global": 1},
            hidden=True,
            encoder=frozenset({"tokens", "mask", "local"}),
            couples=diversity > 0,
        )
        self.distractors, self.temperature = distractors, temperature
        self.diversity, self.penalty = diversity, penalty
        self.gumbel = (gumbel_start, gumbel_end, gumbel_decay)
        self.quantizer = GumbelProduct(local, width=code_width, groups=groups, entries=entries)
        self.quantizer.anneal(0, *self.gumbel)
        self.project_code = nn.Linear(code_width, width)
        self.project_context = nn.Linear(encoder.dim, width)
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        losses, choices, squares, spreads = [], [], [], []
        for number, view in enumerate(views):
            loss, p, square, spread = self._view(encoder, view, draw_at(self.clock.step, view.batch.ids, number))
            losses.append(loss)
            choices.append(p)
            squares.append(square)
            spreads.append(spread)
        contrastive, size = union_mean(torch.cat(losses)), union_mean(torch.cat(squares))
        perplexity = union_perplexity(torch.cat(choices))
        diverse = diversity_loss(perplexity, self.quantizer.groups, self.quantizer.entries)
        total = contrastive + self.diversity * diverse + self.penalty * size
        parts = {"contrastive": contrastive, "diversity": diverse, "local_square": size}
        parts["code_perplexity"] = perplexity / self.quantizer.groups
        parts["local_std"] = torch.stack(spreads).mean()
        return Loss(total, {name: value.detach() for name, value in parts.items()})

    def _view(self, encoder: Any, view: View, draw: Draw) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        layout, hidden = view.layout, view.hidden
        assert layout is not None
        assert hidden is not None
        features = encoder(view, hide="mask")
        local_HD = features.normed[hidden.index]
        noise = None
        if self.training:
            sample, place = layout.group[hidden.index], layout.within[hidden.index]
            noise = gumbel_noise(draw, sample, place, self.quantizer.groups * self.quantizer.entries)
        codes_HW, codes_HG, p_HGV = self.quantizer(local_HD, noise)
        counts = count_distractors(draw_others(draw, hidden.lengths, self.distractors), hidden.lengths)
        loss = contrastive_loss(
            self.project_context(features.tokens[hidden.index]),
            self.project_code(codes_HW),
            self.one_number(codes_HG),
            counts,
            Layout(hidden.lengths, hidden.index[:, None]),
            self.temperature,
        )
        spread = local_deviation(features)["local_std"]
        return loss, p_HGV, local_penalty(features, loss), spread

    def one_number(self, codes_HG: Tensor) -> Tensor:
        """``int64[H]``, equal where the codes of all groups are."""
        place = self.quantizer.entries ** torch.arange(self.quantizer.groups, device=codes_HG.device)
        return (codes_HG * place).sum(1)

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """A colder choice of codes."""
        self.quantizer.anneal(progress.step, *self.gumbel)
