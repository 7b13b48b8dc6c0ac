"""GraphMAE2, https://arxiv.org/abs/2304.04779: GraphMAE with random re-masking and a latent target.

Features of hidden nodes are decoded several times, each from codes of which another random half is replaced by a
learned token; and the hidden nodes' codes predict those of a momentum teacher that sees the whole graph. Differs: the
mean is over the hidden nodes of all ranks; the paper's ``replace_rate`` belongs to the mask component.

    # T packed rows, H predicted rows, C numbers of content in a row, D features
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Loss, MakeDecoder, Needs, Progress, View
from unlabeled.draw import Purpose
from unlabeled.errors import above, within
from unlabeled.nn.chance import row_words, uniform
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.rows import target_rows
from unlabeled.nn.teacher import Teacher
from unlabeled.objectives.graphmae import check, decode, scaled_cosine


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

    step: Tensor

    def __init__(
        self,
        encoder: Any,
        decoder: MakeDecoder | None = None,
        content: int = 0,
        *,
        power: float = 3.0,
        latent: float = 1.0,
        remasks: int = 3,
        remask: float = 0.5,
        projection: int = 256,
        momentum: float = 0.996,
    ) -> None:
        super().__init__()
        check("graphmae2", decoder, content, power)
        above(0, remasks=remasks, projection=projection)
        above(-1e-12, latent=latent)
        within(0, 1, momentum=momentum)
        if not 0 <= remask < 1:
            raise ValueError(f"remask is {remask}; it must be in [0, 1)")
        assert decoder is not None
        self.needs = Needs(views={"global": 1}, hidden=True, content=1, encoder=frozenset({"tokens", "mask"}))
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
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

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
        words = row_words(view, view.layout, self.step, Purpose.MASK_FILL, turn)
        return torch.where((uniform(words) < self.remask)[:, None], self.token.to(codes_TD.dtype), codes_TD)

    def after_step(self, encoder: Any, progress: Progress) -> None:
        self.teacher.update(self.momentum, encoder=encoder, projector=self.projector)
        self.step.fill_(progress.step)
