"""Alice, https://arxiv.org/abs/2302.05615: masked volumes beside contrast with anatomy that matches across volumes.

A student sees the visible cubes of two crops, a momentum teacher sees them whole. The student paints hidden cubes (MAE)
and finds the teacher's vector of its sample's other crop in the batch (InfoNCE). Conditional anatomical alignment: the
student's corrupted rows attend to the teacher's rows of a *matched* crop and are contrasted once more. The match of a
crop is the other volume of the batch with the most similar teacher vector, at a cosine of ``threshold`` and above;
below it is the sample's own other crop. Differs: the authors match by embeddings of a pre-trained SAM and self-distill
by DINO's cross-entropy; here the teacher's own embeddings match, and the contrast is InfoNCE.

    # b samples of this rank, B of all ranks, N rows of a whole crop, M visible rows, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlabeled.contract import Features, Loss, MakeDecoder, Needs, Progress, View, role
from unlabeled.errors import above, within
from unlabeled.nn.distributed import gather, union_mean
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import info_nce, own_rows
from unlabeled.nn.precision import full, full_precision
from unlabeled.nn.reconstruction import mae_loss
from unlabeled.nn.rows import restore, target_rows
from unlabeled.nn.teacher import Teacher, cosine_momentum


def matches(own_bD: Tensor, all_BD: Tensor, own_b: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """The most similar *other* sample of unit vectors, int64[b], and whether its cosine reaches ``threshold``."""
    cosine = (own_bD @ all_BD.T).scatter(1, own_b[:, None], float("-inf"))
    best, index = cosine.max(1)
    return index, best >= threshold


class Alice(nn.Module):
    """Masked reconstruction, cross-view contrast and contrast after anatomical alignment.

    Args:
        projector: widths of the projection head, hidden and output.
        temperature: of the contrast, above 0.
        threshold: least cosine of teacher vectors at which another volume counts as the same anatomy; 0.7 in the paper.
        momentum: of the teacher at the start, in [0, 1]; it rises to 1 along a cosine.
        heads: attention heads of the alignment; must divide the encoder's width; 0 = one for each 32 features.
        contrast: weight of the two contrastive terms beside the reconstruction.
        norm_pix: normalize each cube before it is painted.
    """

    cause = "a threshold at which all volumes match, or too high a learning rate"

    def __init__(
        self,
        encoder: Any,
        decoder: MakeDecoder,
        content: int,
        *,
        projector: tuple[int, ...] = (256, 128),
        temperature: float = 0.2,
        threshold: float = 0.7,
        momentum: float = 0.99,
        heads: int = 0,
        contrast: float = 0.5,
        norm_pix: bool = True,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature, contrast=contrast)
        within(-1, 1, threshold=threshold)
        within(0, 1, momentum=momentum)
        heads = heads or max(1, encoder.dim // 32)
        if encoder.dim % heads:
            raise ValueError(f"heads is {heads}; it must divide the encoder's width {encoder.dim}")
        self.needs = Needs(
            views={"global": 2}, hidden=True, content=1 + norm_pix, decoder=True, encoder=frozenset({"tokens", "drop"}),
            batch=2, couples=True,
        )  # fmt: skip
        self.temperature, self.threshold, self.momentum = temperature, threshold, momentum
        self.contrast, self.norm_pix = contrast, norm_pix
        self.token = nn.Parameter(torch.randn(encoder.dim) * 0.02)
        self.decoder = decoder(dim=encoder.dim, width=content)
        self.projector = mlp((encoder.dim, *projector), norm="layer")
        self.predictor = mlp((projector[-1], projector[0], projector[-1]), norm="layer")
        self.align = nn.MultiheadAttention(encoder.dim, heads, batch_first=True)
        self.teacher = Teacher(encoder=encoder, projector=self.projector)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        seen = role(views, "global")[:2]
        student = [encoder(view, hide="drop") for view in seen]
        with torch.no_grad():
            whole: list[Features] = [self.teacher.encoder(view.clean()) for view in seen]
            keys = [unit(self.teacher.projector(found.pooled)) for found in whole]
        painted = union_mean(torch.cat([self._paint(v, f) for v, f in zip(seen, student, strict=True)]))
        crossed, aligned, share = [], [], []
        for mine, other in ((0, 1), (1, 0)):
            crossed.append(self._find(student[mine].pooled, keys[other]))
            partner_bND, matched_b = self._partner(whole[mine], whole[other])
            layout = student[mine].layout
            rows_bMD, _ = layout.dense(student[mine].tokens)
            found, _ = self.align(rows_bMD, partner_bND, partner_bND, need_weights=False)
            aligned.append(self._find(layout.mean(layout.pack(rows_bMD + found)), keys[other]))
            share.append(matched_b.float().mean())
        view_term, anatomy_term = torch.stack(crossed).mean(), torch.stack(aligned).mean()
        total = painted + self.contrast * (view_term + anatomy_term)
        parts = {"painted": painted, "views": view_term, "anatomy": anatomy_term, "matched": torch.stack(share).mean()}
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    def _paint(self, view: View, features: Features) -> Tensor:
        assert view.layout is not None
        assert view.content is not None
        whole = restore(features.tokens, features.kept, self.token, view.layout.total)
        index = target_rows(view)
        return mae_loss(self.decoder(whole, view.layout)[index], view.content[index], norm_pix=self.norm_pix)

    def _find(self, x_bD: Tensor, key_bD: Tensor) -> Tensor:
        with full_precision(x_bD):
            query = unit(self.predictor(self.projector(full(x_bD))))
            return info_nce(query, gather(key_bD), own_rows(key_bD), self.temperature)

    @torch.no_grad()
    def _partner(self, mine: Features, other: Features) -> tuple[Tensor, Tensor]:
        """Teacher rows ``[b, N, D]`` of the crop that matches each sample's anatomy, and which were found."""
        own = unit(mine.pooled)
        index, found = matches(own, gather(own), own_rows(own), self.threshold)
        rows_bND, pad = mine.layout.dense(mine.tokens)
        assert pad is None, "alice needs crops of one size"
        theirs = gather(rows_bND)[index]
        return torch.where(found[:, None, None], theirs, other.layout.dense(other.tokens)[0]), found

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the teacher to the student."""
        self.teacher.update(cosine_momentum(self.momentum, 1.0, progress), encoder=encoder, projector=self.projector)
