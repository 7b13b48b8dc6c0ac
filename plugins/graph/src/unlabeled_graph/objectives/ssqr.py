"""SSQR, https://arxiv.org/abs/2501.18119: a few codes for each entity of a knowledge graph, from structure and text.

The encoder's vector of an entity is cut into several parts, each replaced by the nearest code of one codebook; from the
codes alone a bilinear score tells true triples from ones with another tail, and the text embedding of the entity is
predicted where there are texts. Relations are the largest entry of an edge's features, or one for all edges. Differs:
triples are scored by DistMult, where the paper takes ConvE; what is quantized is centered and scaled first.

    # T packed rows, E edges, S codes of an entity, D features, B samples
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Loss, Needs, Progress, View
from unlabeled.draw import Purpose
from unlabeled.errors import above, at_least
from unlabeled.nn.chance import more_words, row_words
from unlabeled.nn.clock import Clock
from unlabeled.nn.codebooks import Quantizer, entrance
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.precision import full
from unlabeled.nn.spread import usage_perplexity
from unlabeled_graph.data.texts import read_texts
from unlabeled_graph.ops.links import absent_edges


def triple_scores(entity_TD: Tensor, edges_2E: Tensor, relation_ED: Tensor) -> Tensor:
    """``[E]`` DistMult logits: sum of head * relation * tail."""
    return (entity_TD[edges_2E[0]] * relation_ED * entity_TD[edges_2E[1]]).sum(1)


class SSQR(nn.Module):
    """Quantized entities from structure, and from text where there is any.

    Args:
        codes: size of the codebook, at least 2; 2048 in the paper.
        slots: codes of an entity, at least 1; 16 in the paper, 32 too.
        code_dim: width of a code.
        relations: kinds of edges, at least 1; edges of other kinds share the last.
        texts: .npz file with ``embeddings[N, D]``, one of each sample; empty = structure alone.
        text_weight: of the text term, at least 0.
    """

    texts: Tensor

    def __init__(
        self,
        encoder: Any,
        samples: int,
        *,
        codes: int = 512,
        slots: int = 16,
        code_dim: int = 16,
        relations: int = 1,
        texts: str = "",
        text_weight: float = 1.0,
    ) -> None:
        super().__init__()
        above(1, codes=codes)
        above(0, slots=slots, code_dim=code_dim, relations=relations)
        at_least(0, text_weight=text_weight)
        self.needs = Needs(views={"global": 1}, encoder=frozenset({"tokens"}), couples=True)
        self.slots, self.codes, self.text_weight = slots, codes, text_weight
        self.enter = entrance(encoder.dim, slots * code_dim)
        self.quantizer = Quantizer(codes, code_dim)
        self.entity = mlp((slots * code_dim, encoder.dim), norm="none")
        self.relation = nn.Parameter(torch.randn(relations, encoder.dim) / encoder.dim**0.5)
        found = read_texts(texts, samples) if texts else torch.zeros(0, 0)
        self.register_buffer("texts", found, persistent=False)
        self.align = nn.Linear(encoder.dim, found.shape[1]) if texts else None
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        view = views[0]
        features = encoder(view)
        layout = features.layout
        assert layout.edges is not None
        parts_ND = self.enter(features.tokens).unflatten(1, (self.slots, -1)).flatten(0, 1)
        keys = more_words(row_words(view, layout, self.clock.step, Purpose.ENTRY), self.slots).flatten()
        code, ids, quantization = self.quantizer(parts_ND, keys)
        entity = self.entity(code.reshape(layout.total, -1))
        relation = self.relation[self._kinds(view, layout.edges)]
        words = row_words(view, layout, self.clock.step, Purpose.EDGE)
        true = triple_scores(full(entity), layout.edges, relation)
        false = triple_scores(full(entity), absent_edges(words, layout.edges, layout), relation)
        triples = union_mean(torch.cat((F.softplus(-true), F.softplus(false))))
        total = triples + quantization
        found = {"triples": triples.detach(), "quantization": quantization.detach()}
        if self.align is not None:
            whole = entity[layout.seeds] if layout.seeds is not None else layout.mean(entity)
            cosine = (unit(self.align(whole)) * unit(self.texts[view.batch.ids])).sum(1)
            text = union_mean(1 - cosine)
            total, found["text"] = total + self.text_weight * text, text.detach()
        return Loss(total, found | {"perplexity": usage_perplexity(ids, self.codes)})

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the codebook to this step's entities."""
        self.quantizer.update()

    def _kinds(self, view: View, edges_2E: Tensor) -> Tensor:
        """``int64[E]``, the relation of each edge."""
        attr = getattr(view.batch, "edge_attr", None)
        if attr is None or len(self.relation) == 1:
            return torch.zeros_like(edges_2E[0])
        return attr.argmax(1).clamp(max=len(self.relation) - 1)
