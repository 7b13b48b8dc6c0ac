"""SALT, https://arxiv.org/abs/2410.18779: next-word prediction, which a small language model teaches at first.

For the first part of training the large model matches the small one's softmax beside the words themselves; then plain
training goes on. With ``share`` below 1 the first part is on the texts alone that the teacher finds hard but can learn
(SALT-DS). Differs: without ``teacher``, the small model is trained along, in the first part alone, where the paper
trains it before; and the texts are chosen in each batch, by the teacher as it is, where the paper chooses them of all
texts, once, by an early state of the teacher.

    # B texts, T packed rows, H rows that have a next word, V words, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Layout, Loss, Needs, View
from unlabeled.errors import UsageError, above, at_least, within
from unlabeled.nn.clock import Clock
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.precision import full
from unlabeled.nn.teacher import Frozen
from unlabeled_text.decoders.transformer import Transformer, narrower
from unlabeled_text.ops.choice import scores
from unlabeled_text.ops.vocabulary import (
    VocabularyHead,
    hit_rate,
    layout_of,
    next_rows,
    next_words,
    refuse_two_sided,
    table_of,
    tokens_of,
    word_loss,
)


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


def whole_model(encoder: Any) -> Any:
    """The encoder of a run of clm: with tied word embeddings it is the whole language model."""
    refuse_two_sided(encoder, "salt's teacher")
    if encoder.dim != table_of(encoder).shape[1]:
        raise ValueError("salt's teacher has word embeddings of another width than its features")
    return encoder


def refuse_other_words(encoder: Any, teacher: Any) -> None:
    """``UsageError`` where an id is another word to the teacher: its softmax would then teach noise."""
    own, given = (found.spec.words_of_vocabulary() for found in (encoder, teacher))
    if own == given:
        return
    differ = sum(a != b for a, b in zip(own, given, strict=False))
    raise UsageError(
        f"salt's teacher has a vocabulary of {len(given):,} tokens and this run one of {len(own):,}; {differ:,} of the "
        "ids that both have are other words, so it cannot teach: pre-train the teacher and this run with one "
        "--data.tokenizer (a tokenizer.json)"
    )


class SALT(nn.Module):
    """Next-word prediction, taught by a small model first.

    Args:
        teacher: run folder of a small model pre-trained by clm; empty = one is trained along.
        width: of the small model that is trained along, as a share of the encoder's, in (0, 1].
        depth: blocks of that small model, at least 1.
        first: share of training in which the small model teaches, in [0, 1].
        distill: weight of the teacher beside the words themselves in that part, in [0, 1]; omega in the paper.
        temperature: of both softmaxes in it, above 0; rho in the paper.
        share: of a batch's texts that the first part is on, in (0, 1]; below 1 a teacher must be given.
        likely: a word beyond this many likeliest is noise to the choice; k.
    """

    def __init__(
        self,
        encoder: Any,
        frozen: Any = None,
        *,
        teacher: str = "",
        width: float = 0.5,
        depth: int = 1,
        first: float = 0.3,
        distill: float = 0.667,
        temperature: float = 0.25,
        share: float = 1.0,
        likely: int = 10,
    ) -> None:
        super().__init__()
        refuse_two_sided(encoder, "salt")
        if frozen is not None:
            refuse_other_words(encoder, frozen)
        within(0, 1, first=first, distill=distill, width=width, share=share)
        above(0, temperature=temperature, width=width, share=share)
        at_least(1, likely=likely)
        if share < 1 and frozen is None:
            raise ValueError(
                f"share is {share}, and a teacher that is trained along cannot choose: give a run as teacher"
            )
        self.needs = Needs(views={"global": 1}, encoder=frozenset({"tokens"}))
        self.first, self.distill, self.temperature, self.share, self.likely = first, distill, temperature, share, likely
        self.head = VocabularyHead(encoder.dim, table_of(encoder), plain=True)
        self.given = None if frozen is None else Frozen(whole_model(frozen))
        small = SmallModel(len(table_of(encoder)), narrower(encoder.dim, width), depth) if frozen is None else None
        self.small, self.clock = small, Clock()

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        view = views[0]
        logits_HV, words_H = next_words(encoder, self.head, view)
        losses_H = word_loss(logits_HV, words_H)
        plain = union_mean(losses_H)
        parts = {"words": plain.detach(), "hits": hit_rate(logits_HV, words_H)}
        if self.clock.past(self.first):
            return Loss(plain if self.small is None else plain + idle(self.small), parts)
        layout = layout_of(encoder, view)
        taught_HV, own = self._teacher(view, layout)
        distilled_H = taught_loss(logits_HV, taught_HV, self.temperature)
        if self.share < 1:
            rows = self._chosen(taught_HV, words_H, layout)
            losses_H, distilled_H = losses_H[rows], distilled_H[rows]
        plain, distilled = union_mean(losses_H), union_mean(distilled_H)
        total = (1 - self.distill) * plain + self.distill * distilled + own
        return Loss(total, parts | {"distilled": distilled.detach()})

    def _chosen(self, taught_HV: Tensor, words_H: Tensor, layout: Layout) -> Tensor:
        """``int64[R]``: those of the H rows that are of chosen texts."""
        group_H, count = layout.group[next_rows(layout)], len(layout.lengths)
        score_B = scores(taught_HV, words_H, group_H, count, self.likely)
        chosen_B = score_B.topk(max(1, round(self.share * count))).indices
        return torch.isin(group_H, chosen_B).nonzero()[:, 0]

    def _teacher(self, view: View, layout: Layout) -> tuple[Tensor, Tensor]:
        """The teacher's logits ``[H, V]``, and its own loss where it learns along."""
        index, words_T = next_rows(layout), tokens_of(view)
        if self.small is not None:
            logits = self.small(words_T, layout, index)
            return logits, union_mean(word_loss(logits, words_T[index + 1]))
        assert self.given is not None
        logits = F.linear(self.given(view).tokens[index], table_of(self.given.encoder))
        return logits, logits.new_zeros(())
