"""Alice, https://arxiv.org/abs/2302.05615: masked volumes, and crops of two patients that show the same anatomy.

A student sees the visible cubes of two crops of each volume, a momentum teacher sees them whole. The student paints
hidden cubes (MAE). Each crop looks for the crop of *another* volume that shows the same anatomy, and the student's
vector must find the teacher's vector of that match among the crops of all other volumes (InfoNCE). Conditional
anatomical alignment: its rows attend to the teacher's rows of the match and are contrasted once more. The match is the
crop whose teacher vector is most similar after the mean of the batch is taken away, since all vectors of a Transformer
point much the same way; below ``threshold`` there is none, and the crop is painted alone.

Differs: the authors find a match in the previous volume by a pre-trained SAM and self-distill by DINO's cross-entropy;
here the teacher's own embeddings match within the batch, and the contrast is InfoNCE.

    # b samples of this rank, B of all ranks, K = 2 B crops of all ranks, N rows of a whole crop, M visible rows,
    # n matched crops, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Features, Loss, MakeDecoder, Needs, Progress, View, role
from unlabeled.errors import above, within
from unlabeled.nn.distributed import gather, union_mean
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.infonce import own_rows
from unlabeled.nn.precision import full, full_precision
from unlabeled.nn.reconstruction import mae_loss
from unlabeled.nn.rows import restore, target_rows
from unlabeled.nn.teacher import Teacher, cosine_momentum


def matches(own_bD: Tensor, all_KD: Tensor, same_bK: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """The most similar crop of *another* volume, int64[b], and whether its cosine reaches ``threshold``.

    Cosines are those of vectors from which the mean of ``all_KD`` is taken. ``same_bK``: True = of the same volume.
    """
    mean = all_KD.mean(0)
    cosine = (unit(own_bD - mean) @ unit(all_KD - mean).T).masked_fill(same_bK, float("-inf"))
    best, index = cosine.max(1)
    return index, best >= threshold


def match_loss(query_nD: Tensor, keys_KD: Tensor, index_n: Tensor, out_nK: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding key ``index`` among all that are not left ``out``, unit vectors: ``[n]``."""
    logits_nK = (query_nD @ keys_KD.T / temperature).masked_fill(out_nK, float("-inf"))
    return F.cross_entropy(logits_nK, index_n, reduction="none")


class Alice(nn.Module):
    """Masked reconstruction, contrast with matched anatomy of other volumes, and the same after alignment.

    Args:
        projector: widths of the projection head, hidden and output.
        temperature: of the contrast, above 0.
        threshold: least cosine of centered teacher vectors at which two crops count as the same anatomy; the paper's
            0.7 is of another network's vectors.
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
        threshold: float = 0.5,
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
            batch=3, couples=True,
        )  # fmt: skip
        self.temperature, self.threshold, self.momentum = temperature, threshold, momentum
        self.contrast, self.norm_pix = contrast, norm_pix
        self.token = nn.Parameter(torch.randn(encoder.dim) * 0.02)
        self.decoder = decoder(dim=encoder.dim, width=content)
        self.projector = mlp((encoder.dim, *projector), norm="batch")
        self.predictor = mlp((projector[-1], projector[0], projector[-1]), norm="batch")
        self.align = nn.MultiheadAttention(encoder.dim, heads, batch_first=True)
        self.teacher = Teacher(encoder=encoder, projector=self.projector)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        seen = role(views, "global")[:2]
        student = [encoder(view, hide="drop") for view in seen]
        with torch.no_grad():
            whole: list[Features] = [self.teacher.encoder(view.clean()) for view in seen]
            keys_KD = torch.cat([gather(unit(self.teacher.projector(found.pooled))) for found in whole])
            places_KD = torch.cat([gather(found.pooled) for found in whole])
            rows_KND = torch.cat([gather(_rows(found)) for found in whole])
        painted = union_mean(torch.cat([self._paint(v, f) for v, f in zip(seen, student, strict=True)]))
        volume_K = torch.arange(len(keys_KD), device=keys_KD.device) % (len(keys_KD) // 2)
        found, aligned, share = [], [], []
        for mine, fixed in zip(student, whole, strict=True):
            same_bK = own_rows(fixed.pooled)[:, None] == volume_K
            index_b, there_b = matches(full(fixed.pooled), full(places_KD), same_bK, self.threshold)
            # the other crop of the matched volume may show the same place: neither positive nor negative
            twin_bK = (volume_K[index_b][:, None] == volume_K).scatter(1, index_b[:, None], False)
            target = (keys_KD, index_b, same_bK | twin_bK)
            found.append(self._find(mine.pooled, *target)[there_b])
            beside = mine.layout.mean(mine.layout.pack(self._aligned(mine, rows_KND[index_b])))
            aligned.append(self._find(beside, *target)[there_b])
            share.append(there_b.float())
        match_term, anatomy_term = union_mean(torch.cat(found)), union_mean(torch.cat(aligned))
        total = painted + self.contrast * (match_term + anatomy_term)
        parts = {"painted": painted, "matches": match_term, "anatomy": anatomy_term}
        parts["matched"] = union_mean(torch.cat(share))
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    def _aligned(self, mine: Features, match_bND: Tensor) -> Tensor:
        """Visible rows ``[b, M, D]`` beside what they find in the rows of their match."""
        rows_bMD, _ = mine.layout.dense(mine.tokens)
        found_bMD, _ = self.align(rows_bMD, match_bND, match_bND, need_weights=False)
        return rows_bMD + found_bMD

    def _paint(self, view: View, features: Features) -> Tensor:
        assert view.layout is not None
        assert view.content is not None
        whole = restore(features.tokens, features.kept, self.token, view.layout.total)
        index = target_rows(view)
        return mae_loss(self.decoder(whole, view.layout)[index], view.content[index], norm_pix=self.norm_pix)

    def _find(self, x_bD: Tensor, keys_KD: Tensor, index_b: Tensor, out_bK: Tensor) -> Tensor:
        query = self.predictor(self.projector(x_bD))
        with full_precision(query):
            return match_loss(unit(query), keys_KD, index_b, out_bK, self.temperature)

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the teacher to the student."""
        self.teacher.update(cosine_momentum(self.momentum, 1.0, progress), encoder=encoder, projector=self.projector)


def _rows(features: Features) -> Tensor:
    """``[b, N, D]``: the rows of whole crops."""
    rows_bND, pad = features.layout.dense(features.tokens)
    assert pad is None, "alice needs crops of one size"
    return rows_bND
