"""Joint image and volume clustering, https://arxiv.org/abs/2212.01893 (Nguyen et al., joint self-supervised learning).

Image branch: a 2D encoder embeds each slice by itself; slices are assigned to prototypes (Sinkhorn) and each view
predicts the codes of the other (SwAV). Volume branch: a Transformer puts the slice embeddings of a volume together; its
summary predicts the mean code of the volume's slices in the other view (agreement of 2D and 3D); slices are masked
before it and their embeddings predicted from the others. The two views show one crop with different intensities, so
slices of the same number match. An encoder of whole volumes would tell slices by their number, and show the masked ones
to the others. Differs: plain instead of deformable attention; masked slices are drawn by sample id and step; their
targets are standardized over the slices of all volumes, so that their mean is no answer.

    # B volumes, S slices (rows along the last axis), D features, P width of the projection, K prototypes
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Features, Loss, Needs, Progress, View, role
from unlabeled.draw import Purpose
from unlabeled.errors import above, within
from unlabeled.nn.chance import draw_at
from unlabeled.nn.clock import Clock
from unlabeled.nn.distributed import union_mean, union_moments
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.init import sincos
from unlabeled.nn.precision import full, full_precision
from unlabeled.nn.prototypes import sinkhorn, swapped_prediction
from unlabeled.nn.spread import information_perplexity
from unlabeled_medical3d.ops.grids import dense_map

EPS = 1e-5


def slices_of(features: Features) -> Tensor:
    """``[B, S, D]``: the mean of the rows of each slice across the last axis."""
    grid = features.layout.grid
    assert grid is not None, "slices need an encoder whose rows form a grid"
    return dense_map(features.tokens, grid).mean((2, 3)).transpose(1, 2)


def agreement_loss(scores_BK: Tensor, codes_BSK: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of a volume's scores against the mean code of its slices: ``[B]``."""
    return -(codes_BSK.mean(1) * F.log_softmax(scores_BK / temperature, dim=1)).sum(1)


def standardized(slices_BSD: Tensor) -> Tensor:
    """Each feature with mean 0 and deviation 1 over all slices of all ranks."""
    x_BSD = full(slices_BSD)
    mean_D, variance_D, _ = union_moments(x_BSD.flatten(0, 1))
    return (x_BSD - mean_D) * torch.rsqrt(variance_D + EPS)


def masked_slice_loss(predicted_HD: Tensor, target_HD: Tensor) -> Tensor:
    """Smooth L1 distance of each masked slice from its target: ``[H]``."""
    return F.smooth_l1_loss(full(predicted_HD), target_HD, reduction="none").mean(-1)


class JointImageVolume(nn.Module):
    """Clustering of slices, agreement of volume and slices, prediction of masked slices.

    Args:
        dim: width of the projection that is clustered.
        prototypes: number of prototypes, K; at most the slices of a batch.
        temperature: divides the scores that predict.
        epsilon: of the assignment's entropy term; smaller is sharper.
        depth: blocks of the volume Transformer.
        heads: its attention heads; must divide the encoder's width; 0 = one for each 32 features.
        mask: share of slices whose embeddings are hidden from the volume Transformer, in (0, 1).
        agreement: weight of the agreement between volume and slices.
        prediction: weight of the masked slices.
    """

    cause = "an epsilon or a temperature that lets one prototype win, or too high a learning rate"

    def __init__(
        self,
        encoder: Any,
        *,
        dim: int = 128,
        prototypes: int = 32,
        temperature: float = 0.1,
        epsilon: float = 0.02,
        depth: int = 2,
        heads: int = 0,
        mask: float = 0.3,
        agreement: float = 1.0,
        prediction: float = 1.0,
    ) -> None:
        super().__init__()
        above(0, dim=dim, temperature=temperature, epsilon=epsilon, depth=depth, agreement=agreement)
        above(1, prototypes=prototypes)
        above(0, prediction=prediction)
        within(0.01, 0.99, mask=mask)
        heads = heads or max(1, encoder.dim // 32)
        if encoder.dim % heads:
            raise ValueError(f"heads is {heads}; it must divide the encoder's width {encoder.dim}")
        if not getattr(encoder, "by_slice", False):
            raise ValueError("it clusters single slices, and this encoder mixes them: choose --encoder slices/resnet18")
        count = encoder.spec.size[2] // encoder.strides[-1][2]
        least = max(2, -(-prototypes // count))  # as many slices as prototypes
        self.needs = Needs(views={"global": 2}, encoder=frozenset({"tokens"}), batch=least, couples=True)
        self.temperature, self.epsilon, self.share = temperature, epsilon, mask
        self.agreement, self.prediction = agreement, prediction
        self.projector = mlp((encoder.dim, encoder.dim, dim), norm="layer")
        self.volume_projector = mlp((encoder.dim, encoder.dim, dim), norm="layer")
        self.prototypes = nn.Parameter(F.normalize(torch.randn(prototypes, dim), dim=1))
        self.token = nn.Parameter(torch.randn(encoder.dim) * 0.02)
        block = nn.TransformerEncoderLayer(
            encoder.dim, heads, 2 * encoder.dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.mixer = nn.TransformerEncoder(block, depth, enable_nested_tensor=False)
        self.predict = nn.Linear(encoder.dim, encoder.dim)
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        seen = role(views, "global")[:2]
        slices = [slices_of(encoder(view.clean())) for view in seen]
        mixed = [self._mix(view, x_BSD, number) for number, (view, x_BSD) in enumerate(zip(seen, slices, strict=True))]
        flat = [self.projector(x_BSD.flatten(0, 1)) for x_BSD in slices]
        whole = [self.volume_projector(summary) for summary, _ in mixed]
        with full_precision(flat[0]):
            prototypes = full(self.prototypes)
            scores = [unit(z) @ prototypes.T for z in flat]
            codes = [sinkhorn(s.detach(), epsilon=self.epsilon) for s in scores]
            image = swapped_prediction(scores, codes, self.temperature)
            by_volume = [code.unflatten(0, (len(seen[0]), -1)) for code in codes]
            volume_scores = [unit(z) @ prototypes.T for z in whole]
            agree = [agreement_loss(volume_scores[i], by_volume[1 - i], self.temperature) for i in range(2)]
            agreement = union_mean(torch.cat(agree))
            prediction = union_mean(torch.cat([loss for _, loss in mixed]))
        total = image + self.agreement * agreement + self.prediction * prediction
        parts = {"image": image.detach(), "agreement": agreement.detach(), "masked_slices": prediction.detach()}
        return Loss(total, parts | {"code_perplexity": information_perplexity(codes)})

    def _mix(self, view: View, slices_BSD: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """The volume's summary ``[B, D]`` from its visible slices, and the loss ``[H]`` at the masked ones."""
        count = slices_BSD.shape[1]
        hidden = max(1, min(count - 1, round(self.share * count)))
        ids = view.batch.ids
        order = draw_at(self.clock.step, ids, number).permutation(count, Purpose.MASK).to(slices_BSD.device)
        masked_BS = torch.zeros_like(order, dtype=torch.bool).scatter_(1, order[:, :hidden], True)
        place = sincos(torch.arange(count, device=order.device)[:, None], slices_BSD.shape[2]).to(slices_BSD.dtype)
        inside = torch.where(masked_BS[..., None], self.token.to(slices_BSD.dtype), slices_BSD) + place
        out_BSD = self.mixer(inside)
        index = order[:, :hidden].sort(1).values[..., None].expand(-1, -1, slices_BSD.shape[2])
        hidden_HD, truth_HD = (
            x.gather(1, index).flatten(0, 1) for x in (self.predict(out_BSD), standardized(slices_BSD.detach()))
        )
        loss = masked_slice_loss(hidden_HD, truth_HD)
        return out_BSD.mean(1), loss

    @torch.no_grad()
    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Bring the prototypes back to length 1."""
        self.prototypes.copy_(F.normalize(self.prototypes, dim=1))
