"""HuBERTopic, https://arxiv.org/abs/2310.03975: HuBERT, and a topic of each utterance from its units.

A topic model sees an utterance as a bag of its units; its most likely topic is a label for the whole, which a linear
head on the pooled features learns beside HuBERT's loss. Differs: the topics are learned online, by stochastic
variational inference (Hoffman, Blei, Bach 2010, https://papers.nips.cc/paper/3902), while the encoder trains, where the
paper fits LDA on the whole corpus before; counts are of all ranks.

    # B utterances, C units, Z topics, T packed frames
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout, Loss, Needs, Progress, View
from unlabeled.errors import above, at_least, within
from unlabeled.nn.distributed import all_reduce, union_mean
from unlabeled.nn.precision import full
from unlabeled.nn.recorder import Recorder
from unlabeled.nn.spread import usage_perplexity
from unlabeled.nn.units import CAUSE, UnitHead, masked_units


def bags(ids_TK: Tensor, layout: Layout, vocabulary: int) -> Tensor:
    """How often each unit occurs in each group: ``[B, C]``; of several codebooks, the first."""
    flat = layout.group * vocabulary + ids_TK.reshape(layout.total, -1)[:, 0]
    count = len(layout.lengths)
    found = torch.zeros(count * vocabulary, device=flat.device)
    return found.index_add_(0, flat, torch.ones_like(flat, dtype=found.dtype)).view(count, vocabulary)


def dirichlet_expectation(alpha: Tensor) -> Tensor:
    """E[log x] of ``x ~ Dir(alpha)`` along the last dimension."""
    return torch.digamma(alpha) - torch.digamma(alpha.sum(-1, keepdim=True))


def topic_shares(bags_BC: Tensor, lambda_ZC: Tensor, alpha: float, iterations: int) -> tuple[Tensor, Tensor]:
    """The E step: ``gamma[B, Z]``, and the sufficient statistics ``[Z, C]`` of these bags (algorithm 2)."""
    beta_ZC = dirichlet_expectation(lambda_ZC).exp()
    gamma = bags_BC.new_ones(len(bags_BC), len(lambda_ZC))
    for _ in range(iterations):
        theta = dirichlet_expectation(gamma).exp()
        gamma = alpha + theta * ((bags_BC / (theta @ beta_ZC + 1e-30)) @ beta_ZC.T)
    theta = dirichlet_expectation(gamma).exp()
    return gamma, beta_ZC * (theta.T @ (bags_BC / (theta @ beta_ZC + 1e-30)))


class HuBERTopic(nn.Module):
    """HuBERT with a topic label of the utterance.

    Args:
        width: of the projection that is compared with a unit's embedding.
        temperature: divides the cosines, tau.
        scores: cosine (HuBERT) or linear (BEST-RQ).
        books: units that the tokenizer gives each frame; topics are made of the first.
        visible: weight of the loss over visible frames.
        penalty: weight of the mean square of the convolutional features, where the encoder has such.
        topics: number of topics, Z.
        topic: weight of the topic loss beside HuBERT's.
        rate: of a step in the topic model: ``(offset + step) ** -rate``, kappa, in (0.5, 1].
        offset: tau_0 of the same, at least 1.
    """

    cause = CAUSE
    former: ClassVar[dict[str, str]] = {"hubert.head.": "head."}  # names in state of earlier versions
    lambda_: Tensor

    def __init__(
        self,
        encoder: Any,
        vocabulary: int,
        samples: int,
        *,
        width: int = 256,
        temperature: float = 0.1,
        scores: Literal["cosine", "linear"] = "cosine",
        books: int = 1,
        visible: float = 0.0,
        penalty: float = 10.0,
        topics: int = 20,
        topic: float = 0.1,
        rate: float = 0.7,
        offset: float = 10.0,
    ) -> None:
        super().__init__()
        above(1, topics=topics)
        at_least(0, topic=topic, visible=visible, penalty=penalty)
        within(0.5, 1, rate=rate)
        at_least(1, offset=offset)
        self.needs = Needs(views={"global": 1}, hidden=True, vocabulary=2, encoder=frozenset({"tokens", "mask"}))
        self.visible, self.penalty, self.samples = visible, penalty, samples
        self.topic, self.rate, self.offset = topic, rate, offset
        self.head = UnitHead(encoder.dim, width, vocabulary, books, temperature, scores)
        self.classify = nn.Linear(encoder.dim, topics)
        self.register_buffer("lambda_", torch.distributions.Gamma(100.0, 100.0).sample((topics, vocabulary)))
        self._pending: list[tuple[Tensor, int]] = []

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        recorder = Recorder(encoder)
        loss = masked_units(self.head, recorder, views, visible=self.visible, penalty=self.penalty)
        losses, labels = [], []
        for view, pooled in zip(views, recorder.pooled, strict=True):
            assert view.layout is not None
            assert view.ids is not None
            counts = bags(view.ids, view.layout, self.head.vocabulary).to(self.lambda_.dtype)
            gamma, statistics = topic_shares(counts, self.lambda_, 1 / len(self.lambda_), iterations=20)
            label = gamma.argmax(1)
            losses.append(F.cross_entropy(full(self.classify(pooled)), label, reduction="none"))
            labels.append(label)
            if self.training:
                self._pending.append((statistics, len(counts)))
        topic = union_mean(torch.cat(losses))
        perplexity = usage_perplexity(torch.cat(labels), len(self.lambda_))
        parts = {**loss.parts, "topic": topic.detach(), "topics_in_use": perplexity}
        return Loss(loss.total + self.topic * topic, parts)

    @torch.no_grad()
    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the topics towards what this step's utterances say of them (algorithm 2, equation 6)."""
        if self._pending:
            seen = all_reduce(self.lambda_.new_full((), float(sum(n for _, n in self._pending))))
            statistics = all_reduce(torch.stack([s for s, _ in self._pending]).sum(0))
            target = 1 / len(self.lambda_) + statistics * (self.samples / seen)
            self.lambda_.lerp_(target, (self.offset + progress.step) ** -self.rate)
        self._pending = []
