"""GraphMAE2, https://arxiv.org/abs/2304.04779: GraphMAE with random re-masking and a latent target.

Features of hidden nodes are decoded several times, each from codes of which another random half is replaced by a
learned token; and the hidden nodes' codes predict those of a momentum teacher that sees the whole graph. Differs: the
mean is over the hidden nodes of all ranks; the paper's ``replace_rate`` belongs to the mask component.

    # T packed rows, H predicted rows, C numbers of content in a row, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Capability, Loss, MakeDecoder, Needs, Progress, View
from unlabeled.draw import Purpose
from unlabeled.errors import above, at_least, below_one, within
from unlabeled.nn.chance import row_words, uniform
from unlabeled.nn.clock import Clock
from unlabeled.nn.cosine import scaled_cosine
from unlabeled.nn.decoders import decode
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.rows import target_rows
from unlabeled.nn.teacher import Teacher


class GraphMAE2(nn.Module):
    """Masked features and masked codes.

    Args:
        power: of the scaled cosine error of features, at least 1; gamma.
        latent: weight of the latent term, at least 0; lambda.
        remasks: decodings a step, at least 1; K, 3 in the paper.
        remask: share of codes replaced before each decoding, in [0, 1); 0.5 in the paper.
        projection: width of the latent projection.
        momentum: of the teacher, in [0, 1].
    """

    cause = "targets that become constant: raise the teacher's momentum, lower the learning rate, or hide more"

    def __init__(
        self,
        encoder: Any,
        decoder: MakeDecoder,
        content: int,
        *,
        power: float = 3.0,
        latent: float = 1.0,
        remasks: int = 3,
        remask: float = 0.5,
        projection: int = 256,
        momentum: float = 0.996,
    ) -> None:
        super().__init__()
        at_least(1, power=power)
        at_least(0, latent=latent)
        above(0, remasks=remasks, projection=projection)
        within(0, 1, momentum=momentum)
        below_one(remask=remask)
        can: frozenset[Capability] = frozenset({"tokens", "mask"})
        self.needs = Needs(views={"global": 1}, hidden=True, content=1, decoder=True, encoder=can)
        self.power, self.latent, self.remasks, self.remask = power, latent, remasks, remask
        self.momentum = momentum
        self.bridge = nn.Linear(encoder.dim, encoder.dim, bias=False)
        self.token = nn.Parameter(torch.randn(encoder.dim) * 0.02)
        self.decoder = decoder(dim=encoder.dim, width=content)
        self.projector = nn.Sequential(
            nn.Linear(encoder.dim, projection), nn.PReLU(), nn.Linear(projection, projection)
        )
        self.predictor = nn.Sequential(nn.PReLU(), nn.Linear(projection, projection))
        self.teacher = Teacher(encoder=encoder, projector=self.projector)
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        found = [self._terms(encoder, view) for view in views]
        features, codes = (union_mean(torch.cat(rows)) for rows in zip(*found, strict=True))
        return Loss(features + self.latent * codes, {"features": features.detach(), "codes": codes.detach()})

    def _terms(self, encoder: Any, view: View) -> tuple[Tensor, Tensor]:
        assert view.layout is not None
        assert view.content is not None
        index, tokens = target_rows(view), encoder(view).tokens
        codes, content = self.bridge(tokens), view.content[index]
        rows = [
            scaled_cosine(
                decode(self.decoder, self._remasked(codes, view, turn), view.layout, index), content, self.power
            )
            for turn in range(self.remasks)
        ]
        with torch.no_grad():
            target = self.teacher.projector(self.teacher.encoder(view.clean()).tokens[index])
        latent = scaled_cosine(self.predictor(self.projector(tokens[index])), target, 1.0)
        return torch.cat(rows), latent

    def _remasked(self, codes_TD: Tensor, view: View, turn: int) -> Tensor:
        assert view.layout is not None
        words = row_words(view, view.layout, self.clock.step, Purpose.MASK_FILL, turn)
        return torch.where((uniform(words) < self.remask)[:, None], self.token.to(codes_TD.dtype), codes_TD)

    def after_step(self, encoder: Any, progress: Progress) -> None:
        self.teacher.update(self.momentum, encoder=encoder, projector=self.projector)
