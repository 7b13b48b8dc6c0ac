"""SSQR, https://arxiv.org/abs/2501.18119: a few codes for each entity of a knowledge graph, from structure and text.

The encoder's vector of an entity is cut into several parts, each replaced by the nearest code of one codebook; from the
codes alone a head and a relation are to find all their true tails among all entities (1-N), and the text embedding of
the entity is predicted where there are texts. Relations are the columns of an edge's features above 0.5, several where
several hold, or one for all edges. Differs: triples are scored by DistMult, where the paper takes ConvE; a learned
bias of all entities starts at one true tail in all; what is quantized is centered and scaled first; the paper's tuning
of a language model on the codes is not here.

    # T packed rows, E edges, N facts, Q questions, S codes of an entity, D features, B samples
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout, Loss, Needs, Progress, View
from unlabeled.draw import Purpose, mix64
from unlabeled.errors import UsageError, above, at_least
from unlabeled.nn.chance import more_words, row_words
from unlabeled.nn.clock import Clock
from unlabeled.nn.codebooks import Quantizer, entrance
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.heads import mlp, unit
from unlabeled.nn.precision import full
from unlabeled.nn.spread import usage_perplexity
from unlabeled_graph.batch import facts_of
from unlabeled_graph.data.texts import read_texts
from unlabeled_graph.ops.chance import exact


def triple_scores(head_QD: Tensor, relation_QD: Tensor, entity_TD: Tensor) -> Tensor:
    """``[Q, T]`` DistMult logits of every entity as the tail: sum of head * relation * tail."""
    return (head_QD * relation_QD) @ entity_TD.T


def questions(
    head_N: Tensor, kind_N: Tensor, tail_N: Tensor, words_T: Tensor, total: int, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Up to ``most`` random heads ``[Q]`` with a relation ``[Q]`` each, and ``bool[Q, T]``: all their true tails."""
    pairs, place = (kind_N * total + head_N).unique(return_inverse=True)
    head, kind = pairs % total, pairs // total
    chosen = torch.nonzero(exact(mix64(words_T[head] ^ mix64(kind + 1)), None, [min(most, len(pairs))]))[:, 0]
    row = torch.full((len(pairs),), -1, device=pairs.device)
    row[chosen] = torch.arange(len(chosen), device=pairs.device)
    asked = row[place] >= 0
    true = torch.zeros(len(chosen), total, dtype=torch.bool, device=pairs.device)
    true[row[place[asked]], tail_N[asked]] = True
    return head[chosen], kind[chosen], true


class SSQR(nn.Module):
    """Quantized entities from structure, and from text where there is any.

    Args:
        codes: size of the codebook, at least 2; 2048 in the paper.
        slots: codes of an entity, at least 1; 16 in the paper, 32 too.
        code_dim: width of a code.
        relations: kinds of edges; 0 = as many as edges have features, and no other number will do.
        queries: heads with a relation that are asked for their tails in a step, at least 1.
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
        relations: int = 0,
        queries: int = 512,
        texts: str = "",
        text_weight: float = 1.0,
    ) -> None:
        super().__init__()
        above(1, codes=codes)
        above(0, slots=slots, code_dim=code_dim, queries=queries)
        at_least(0, text_weight=text_weight, relations=relations)
        known = getattr(getattr(encoder, "spec", None), "edge_features", 0) or 1
        if relations not in (0, known):
            raise UsageError(f"relations is {relations}, and edges have {known}: leave --objective.relations out")
        self.needs = Needs(views={"global": 1}, encoder=frozenset({"tokens"}), couples=True)
        self.slots, self.codes, self.text_weight, self.queries = slots, codes, text_weight, queries
        self.enter = entrance(encoder.dim, slots * code_dim)
        self.quantizer = Quantizer(codes, code_dim)
        self.entity = mlp((slots * code_dim, encoder.dim), norm="none")
        self.relation = nn.Parameter(torch.randn(known, encoder.dim) / encoder.dim**0.5)
        self.bias = nn.Parameter(torch.zeros(()))  # else vectors first turn to one side, to say that most are false
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
        triples = union_mean(self._rows(view, layout, full(entity)))
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

    def _rows(self, view: View, layout: Layout, entity_TD: Tensor) -> Tensor:
        """``[Q]``: cross-entropy of all entities of a graph as tails, averaged over them."""
        batch: Any = view.batch
        edge, kind = facts_of(batch)
        words = row_words(view, layout, self.clock.step, Purpose.EDGE)
        source, target = batch.edges[:, edge]
        head, asked, true = questions(source, kind, target, words, layout.total, self.queries)
        there = layout.group[head][:, None] == layout.group[None]
        score = triple_scores(entity_TD[head], full(self.relation)[asked], entity_TD)
        score = score + full(self.bias) - there.sum(1, keepdim=True).log()
        lost = F.binary_cross_entropy_with_logits(score, true.to(score.dtype), reduction="none")
        return (lost * there).sum(1) / there.sum(1)
