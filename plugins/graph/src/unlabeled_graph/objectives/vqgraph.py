"""VQGraph's tokenizer, https://arxiv.org/abs/2308.02117: each node's local structure as a code of a learned codebook.

A GNN, a cosine quantizer whose codebook is a moving average, and two decoders of the code: features by GraphMAE's
scaled cosine error, links by squared error. Differs: what is quantized is centered and scaled first, and codes that
nobody chooses start anew; links are scored for all edges and as many random pairs, not for all N^2; the released code
has a squared error of features too, which for a bag of words is 1e-4 beside other terms of 1, and reads labels, which
are left out. The tokenizer ``codes`` reads the codebook from a run of this, and ``vqgraph_student`` distills it.

    # T packed rows, E edges, K codes, C numbers of content in a row
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from unlabeled.contract import Loss, Needs, Progress, View
from unlabeled.draw import Purpose
from unlabeled.errors import above, at_least
from unlabeled.nn.chance import row_words
from unlabeled.nn.clock import Clock
from unlabeled.nn.codebooks import Quantizer, entrance
from unlabeled.nn.cosine import scaled_cosine
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.spread import usage_perplexity
from unlabeled_graph.ops.links import absent_edges, link_scores


class VQGraph(nn.Module):
    """Quantize nodes, rebuild features and links.

    Args:
        codes: size of the codebook, at least 2; 2048 on Cora.
        code_dim: width of a code; 0 = the encoder's.
        commitment: weight that draws a node to its code, above 0; beta, 0.25.
        decay: of the codebook's moving averages a step, in [0, 1]; 0.8 in the paper's code.
        links: weight of the link term, at least 0.
        power: of the scaled cosine error of features, at least 1.
    """

    cause = "codes that are chosen alike (see perplexity): fewer codes, a higher commitment, or a lower learning rate"

    def __init__(
        self,
        encoder: Any,
        content: int,
        *,
        codes: int = 512,
        code_dim: int = 0,
        commitment: float = 0.25,
        decay: float = 0.8,
        links: float = 1.0,
        power: float = 2.0,
    ) -> None:
        super().__init__()
        above(1, codes=codes)
        above(0, commitment=commitment)
        at_least(0, links=links, code_dim=code_dim)
        at_least(1, power=power)
        self.needs = Needs(views={"global": 1}, content=1, encoder=frozenset({"tokens"}), couples=True)
        self.codes, self.links, self.power = codes, links, power
        dim = code_dim or encoder.dim
        self.enter = entrance(encoder.dim, dim)
        self.quantizer = Quantizer(codes, dim, commitment, decay)
        self.features, self.structure = nn.Linear(dim, content), nn.Linear(dim, dim)
        self.clock = Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        view = views[0]
        assert view.content is not None
        out = encoder(view)
        layout = out.layout
        assert layout.edges is not None
        keys = row_words(view, layout, self.clock.step, Purpose.ENTRY)
        code, ids, quantization = self.quantizer(self.enter(out.tokens), keys)
        features = union_mean(scaled_cosine(self.features(code), view.content, self.power))
        words = row_words(view, layout, self.clock.step, Purpose.EDGE)
        z = self.structure(code)
        true = torch.sigmoid(link_scores(z, layout.edges))
        false = torch.sigmoid(link_scores(z, absent_edges(words, layout.edges, layout)))
        links = union_mean(torch.cat(((1 - true).square(), false.square())))
        parts = {"features": features, "links": links, "quantization": quantization}
        total = features + self.links * links + quantization
        found = {name: part.detach() for name, part in parts.items()}
        return Loss(total, found | {"perplexity": usage_perplexity(ids, self.codes)})

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the codebook to this step's nodes."""
        self.quantizer.update()
