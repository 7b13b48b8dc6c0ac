"""The spec that text parts are wired with, and batches of texts as packed token ids.

Tokens are packed: the ids of sample after sample, no padding anywhere. The spec carries its tokenizer in itself, so an
encoder folder reads new text with nothing but itself.

    # B samples, T packed tokens
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Self

import torch
from torch import Tensor

from unlabeled.data.batch import MovableBatch
from unlabeled.errors import at_least
from unlabeled.transfer import cut, numbers
from unlabeled_text.ops.codecs import Codec, codec_of


@dataclass(frozen=True)
class TextSpec:
    """Vocabulary, special tokens and the greatest length of samples.

    Args:
        vocabulary: number of token ids.
        length: most tokens of a sample, specials included.
        prefix: ids put before each text, such as [CLS].
        suffix: ids put after each text, such as [SEP] or </s>.
        pad: id of the padding token; None without one.
        mask: id of the mask token; None without one.
        unknown: id of the unknown token; None without one.
        sentinels: ids that stand for spans (T5), first span first.
        modes: ids that announce UL2's R, S and X denoisers; empty without.
        tokenizer: a tokenizer.json, compressed by ``ops.codecs.pack_json``; or "bytes".
    """

    vocabulary: int
    length: int = 128
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    pad: int | None = None
    mask: int | None = None
    unknown: int | None = None
    sentinels: tuple[int, ...] = ()
    modes: tuple[int, ...] = ()
    tokenizer: str = "bytes"

    def __post_init__(self) -> None:
        for name in ("prefix", "suffix", "sentinels", "modes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        at_least(2, vocabulary=self.vocabulary)
        if self.length <= len(self.prefix) + len(self.suffix):
            raise ValueError(
                f"length is {self.length}; it must leave room beside {len(self.prefix) + len(self.suffix)} specials"
            )
        if self.specials and max(self.specials) >= self.vocabulary:
            raise ValueError(f"special id {max(self.specials)} lies outside the vocabulary of {self.vocabulary}")

    @cached_property
    def specials(self) -> tuple[int, ...]:
        """Every special id, sorted: what no mask touches and no random word is."""
        single = [i for i in (self.pad, self.mask, self.unknown) if i is not None]
        return tuple(sorted({*self.prefix, *self.suffix, *single, *self.sentinels, *self.modes}))

    @cached_property
    def plain(self) -> Tensor:
        """``bool[vocabulary]``, True = no special."""
        table = torch.ones(self.vocabulary, dtype=torch.bool)
        table[list(self.specials)] = False
        return table

    @cached_property
    def ordinary(self) -> Tensor:
        """``int64[V']``: every id that is no special, sorted."""
        return self.plain.nonzero()[:, 0]

    @cached_property
    def codec(self) -> Codec:
        """The live tokenizer: ``encode(texts)`` and ``decode(ids)``."""
        return codec_of(self.tokenizer)

    def text(self, ids: Sequence[int]) -> str:
        """The text of token ids, specials left out."""
        specials = set(self.specials)
        return str(self.codec.decode([int(i) for i in ids if int(i) not in specials]))

    def words_of_vocabulary(self) -> list[str]:
        """Every token as it is written in the vocabulary, by id; empty where an id has none."""
        found = list(self.codec.vocabulary())[: self.vocabulary]
        return found + [""] * (self.vocabulary - len(found))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("codec", "plain", "ordinary")}


@dataclass(frozen=True)
class TextBatch(MovableBatch):
    """``tokens`` int64[T] of all samples, prefix and suffix included; ``lengths`` of each, on the host.

    Args:
        ids: ``[B]`` index of each sample in its data set.
        tokens: ``[T]`` token ids, packed.
        lengths: tokens of each sample; their sum is T.
        starts: ``bool[T]``, True = first token of a word; each special is a word.
        near: M linked texts of each sample (neighbors, next paragraphs), where views ask for them.
        far: M texts of each sample from elsewhere, where views ask for them.
        hard: M texts of each sample that are far, but not that far, where views ask for them.
    """

    ids: Tensor
    tokens: Tensor
    lengths: tuple[int, ...]
    starts: Tensor | None = None
    near: TextBatch | None = None
    far: TextBatch | None = None
    hard: TextBatch | None = None

    def __post_init__(self) -> None:
        assert sum(self.lengths) == len(self.tokens), (sum(self.lengths), self.tokens.shape)
        assert len(self.lengths) == len(self.ids), (len(self.lengths), self.ids.shape)

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def counts(self) -> Tensor:
        """``int64[B]``: the lengths, on the device."""
        return numbers(self.lengths, self.tokens.device)

    def __getitem__(self, samples: slice) -> Self:
        offsets = (0, *accumulate(self.lengths))
        begin, stop, _ = samples.indices(len(self))
        stop = max(begin, stop)
        rows = slice(offsets[begin], offsets[stop])

        def partners(of: TextBatch | None) -> TextBatch | None:
            each = 0 if of is None else len(of) // len(self)
            return None if of is None else of[begin * each : stop * each]

        return replace(
            self,
            ids=cut(self.ids, begin, stop),
            tokens=self.tokens[rows],
            lengths=self.lengths[samples],
            starts=None if self.starts is None else self.starts[rows],
            near=partners(self.near),
            far=partners(self.far),
            hard=partners(self.hard),
        )
