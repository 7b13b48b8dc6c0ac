"""Causal language modeling, GPT-2 (https://openai.com/research/better-language-models), and SALT.

Each word is predicted from those before it, by the encoder's own word embeddings. SALT, https://arxiv.org/abs/2410.18779:
for the first part of training a small language model teaches the large one, which matches its softmax beside the words
themselves; then plain training goes on. Differs: without ``teacher``, the small model is trained along, in the first
part alone, where the paper trains it before.

    # T packed rows, H rows that have a next word, V words, D features
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout, Loss, Needs, Progress, View
from unlabeled.errors import UsageError, above, within
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled.runs.encoder import load_encoder
from unlabeled_text.decoders.transformer import Transformer
from unlabeled_text.ops.vocabulary import VocabularyHead, hit_rate, layout_of, table_of, tokens_of, word_loss


def next_rows(layout: Layout) -> Tensor:
    """``int64[H]``: the rows that another row of their group follows."""
    last = torch.tensor(layout.offsets[1:], device=layout.position.device) - 1
    keep = torch.ones(layout.total, dtype=torch.bool, device=last.device).index_fill_(0, last[last >= 0], False)
    return torch.nonzero_static(keep, size=layout.total - sum(n > 0 for n in layout.lengths)).flatten()


def refuse_two_sided(encoder: Any, who: str) -> None:
    """``ValueError`` where a row of the encoder sees the rows after it."""
    if not getattr(encoder, "causal", False):
        raise ValueError(
            f"{who} predicts the next word, and this encoder sees it: set --encoder.causal true, or choose a causal one"
        )


def next_words(encoder: Any, head: VocabularyHead, view: View) -> tuple[Tensor, Tensor]:
    """Logits ``[H, V]`` and the next word ``[H]`` of every row that has one."""
    features = encoder(view)
    index, words_T = next_rows(features.layout), tokens_of(view)
    if features.layout.total != len(words_T):
        raise UsageError(f"the encoder gave {features.layout.total} rows for {len(words_T)} words; clm needs one each")
    return head(features.tokens[index], table_of(encoder)), words_T[index + 1]


class CLM(nn.Module):
    """Predict the next word; it has no settings."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        refuse_two_sided(encoder, "clm")
        self.needs = Needs(views={"global": 1}, encoder=frozenset({"tokens"}))
        self.head = VocabularyHead(encoder.dim, table_of(encoder), plain=True)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        logits_HV, words_H = next_words(encoder, self.head, views[0])
        return Loss(union_mean(word_loss(logits_HV, words_H)), {"hits": hit_rate(logits_HV, words_H)})


# ---------------------------------------------------------------------------------------------- SALT


def taught_loss(student_HV: Tensor, teacher_HV: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of the student's softmax against the teacher's, both at ``temperature``: ``[H]``."""
    target = (full(teacher_HV).detach() / temperature).softmax(-1)
    return -(target * (full(student_HV) / temperature).log_softmax(-1)).sum(-1)


def idle(module: nn.Module) -> Tensor:
    """0, with a gradient of 0 for each parameter: under DDP none may go without."""
    return torch.stack([parameter.sum() for parameter in module.parameters()]).sum() * 0.0


class SmallModel(nn.Module):
    """A small causal model with word embeddings of its own."""

    def __init__(self, words: int, width: int, depth: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(words, width) * 0.02)
        self.blocks = Transformer(width, depth, causal=True)

    def forward(self, words_T: Tensor, layout: Layout, index_H: Tensor) -> Tensor:
        """Logits ``[H, V]`` of the word after each row of ``index_H``."""
        return self.blocks(self.table[words_T], layout)[index_H] @ self.table.T


def saved_model(folder: str) -> Any:
    """The encoder of a run of clm: with tied word embeddings it is the whole language model."""
    encoder = load_encoder(folder).encoder
    refuse_two_sided(encoder, "salt's teacher")
    if encoder.dim != table_of(encoder).shape[1]:
        raise ValueError(f"teacher {folder} has word embeddings of another width than its features")
    return encoder.requires_grad_(False).eval()


class SALT(nn.Module):
    """Next-word prediction, taught by a small model first.

    Args:
        teacher: run folder of a small model pre-trained by clm; empty = one is trained along.
        width: of the small model that is trained along, as a share of the encoder's, in (0, 1].
        depth: blocks of that small model, at least 1.
        first: share of training in which the small model teaches, in [0, 1].
        distill: weight of the teacher beside the words themselves in that part, in [0, 1]; omega in the paper.
        temperature: of both softmaxes in it, above 0; rho in the paper.
    """

    def __init__(
        self,
        encoder: Any,
        *,
        teacher: str = "",
        width: float = 0.5,
        depth: int = 1,
        first: float = 0.3,
        distill: float = 0.667,
        temperature: float = 0.25,
    ) -> None:
        super().__init__()
        refuse_two_sided(encoder, "salt")
        within(0, 1, first=first, distill=distill, width=width)
        above(0, temperature=temperature, width=width)
        self.needs = Needs(views={"global": 1}, encoder=frozenset({"tokens"}))
        self.first, self.distill, self.temperature = first, distill, temperature
        self.head = VocabularyHead(encoder.dim, table_of(encoder), plain=True)
        words = len(table_of(encoder))
        self.given = [saved_model(teacher)] if teacher else []  # frozen, so no part of the state
        small = max(32, round(encoder.dim * width / 32) * 32)
        self.small = None if teacher else SmallModel(words, small, depth)
        self.done: Tensor
        self.register_buffer("done", torch.zeros(()))

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        view = views[0]
        logits_HV, words_H = next_words(encoder, self.head, view)
        plain = union_mean(word_loss(logits_HV, words_H))
        parts = {"words": plain.detach(), "hits": hit_rate(logits_HV, words_H)}
        if float(self.done) >= self.first:
            return Loss(plain if self.small is None else plain + idle(self.small), parts)
        taught_HV, own = self._teacher(view, layout_of(encoder, view))
        distilled = union_mean(taught_loss(logits_HV, taught_HV, self.temperature))
        total = (1 - self.distill) * plain + self.distill * distilled + own
        return Loss(total, parts | {"distilled": distilled.detach()})

    def _teacher(self, view: View, layout: Layout) -> tuple[Tensor, Tensor]:
        """The teacher's logits ``[H, V]``, and its own loss where it learns along."""
        index, words_T = next_rows(layout), tokens_of(view)
        if self.small is not None:
            logits = self.small(words_T, layout, index)
            return logits, union_mean(word_loss(logits, words_T[index + 1]))
        model = self.given[0].to(words_T.device)
        with torch.no_grad():
            logits = F.linear(model(view).tokens[index], table_of(model))
        return logits, logits.new_zeros(())

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Where training stands decides who teaches."""
        self.done.fill_(progress.fraction)
