"""Views of two that change words as such: code-switching by a lexicon, and hyphens taken out.

CSR4mBART, https://arxiv.org/abs/2204.07834: words of the source stand in another language, by a lexicon; the target is
the text, and the tag of its language ends the one and begins the other. CompoundPiece,
https://arxiv.org/abs/2305.14214: hyphens are taken out of words; the target has them; its second stage has words and
their parts from a list, which may be written otherwise. Differs: without a lexicon each token has another, fixed token
for its translation: a made-up language; a tag stands before the end of the source, where mBART has it behind.

    # B samples, T packed tokens, W words, L entries of the lexicon
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.data.files import text_of
from unlabeled.draw import GOLDEN, Draw, Purpose, mix64
from unlabeled_text.batch import TextBatch, TextSpec
from unlabeled_text.data.compounds import HYPHENS, hyphens, without
from unlabeled_text.ops.edits import body_of, weave
from unlabeled_text.ops.ragged import owner, ranges, starts_of, sums, within
from unlabeled_text.views.corruptions import body, view_of

WHAT = {"lexicon": "its translation", "list of compounds": "its parts with hyphens between"}
SPACED = re.compile(f" ([{re.escape(HYPHENS)}]) ")


def pairs_of(path: Path, what: str) -> list[tuple[str, str]]:
    """The two columns of a file of lines: word, tab, another; ``ValueError`` where there are none."""
    rows = [row for line in text_of(path, what).splitlines() if len(row := line.split("\t")) > 1]
    if not rows:
        raise ValueError(f"{path} has no entries; each line is a word, a tab, and {WHAT[what]}")
    return [(row[0].strip(), row[1].strip()) for row in rows]


def tag_of(name: str, spec: TextSpec) -> int:
    """The id of a language tag; ``ValueError`` where the tokenizer has no such token."""
    ids = spec.codec.encode([name])[0][0].tolist()
    if len(ids) != 1 or ids[0] == spec.unknown:
        raise ValueError(
            f"tags names {name!r}, which is no token of the tokenizer; a tag is one token, such as en_XX of mBART's, "
            "or <extra_id_0> of one that is trained here"
        )
    return int(ids[0])


def word_hashes(tokens_T: Tensor, lengths_W: Tensor) -> Tensor:
    """``int64[W]``: a hash of each word's tokens, in their order."""
    place = within(lengths_W, len(tokens_T))
    return sums(mix64(tokens_T * 0x10001 + (place + 1) * GOLDEN), lengths_W)


class Lexicon:
    """Words and their translations as tokens, looked up by hash."""

    def __init__(self, path: Path, spec: TextSpec) -> None:
        rows = pairs_of(path, "lexicon")
        # a byte-level token holds the space before it, so a word inside a text has other tokens than one that begins it
        words, others = (
            spec.codec.encode([space + row[column] for space in ("", " ") for row in rows]) for column in (0, 1)
        )
        pairs = {(*a[0].tolist(), -1, *b[0].tolist()): (a[0], b[0]) for a, b in zip(words, others, strict=True)}
        kept = [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in pairs.values() if len(a) and len(b)]
        hashes = word_hashes(torch.cat([a for a, _ in kept]), torch.tensor([len(a) for a, _ in kept]))
        self.hashes, order = hashes.sort(stable=True)
        self.tokens = torch.cat([kept[i][1] for i in order.tolist()])
        self.lengths = torch.tensor([len(kept[i][1]) for i in order.tolist()])

    def find(self, hashes_W: Tensor, bits_W: Tensor) -> tuple[Tensor, Tensor]:
        """The entry of each word, one of several by its 32 random bits, and whether there is any."""
        low = torch.searchsorted(self.hashes, hashes_W)
        count = torch.searchsorted(self.hashes, hashes_W, right=True) - low
        return (low + (bits_W * count >> 32)).clamp(max=len(self.hashes) - 1), count > 0


class CodeSwitch:
    """Some words of the source stand in another language; the target is the text.

    Args:
        lexicon: a file of lines: word, tab, translation, as the command lexicon writes it; empty = a made-up language.
        ratio: share of the words that are translated where the lexicon has them, in (0, 1].
        tags: tokens that texts begin with to say their language, by commas (en_XX,de_DE; <extra_id_0>,<extra_id_1> of a
            tokenizer trained here): a text's own ends the source and begins the target; empty = texts have none.
    """

    roles = ("source", "target")
    params = ()

    def __init__(self, spec: TextSpec, *, lexicon: str = "", ratio: float = 0.3, tags: str = "") -> None:
        if not 0 < ratio <= 1:
            raise ValueError(f"ratio is {ratio}; it must be above 0, at most 1")
        self.spec, self.ratio = spec, ratio
        self.lexicon = Lexicon(Path(lexicon), spec) if lexicon else None
        self.tags = torch.tensor([tag_of(name.strip(), spec) for name in tags.split(",") if name.strip()])

    def __call__(self, batch: TextBatch, draw: Draw) -> list[View]:
        tokens, n = body(batch, self.spec)
        target = view_of(batch, tokens, n, self.spec, "target")
        starts = torch.ones_like(tokens, dtype=torch.bool)
        if batch.starts is not None:
            starts = batch.starts[body_of(batch, self.spec)]
        tagged = torch.isin(tokens, self.tags.to(tokens)) & (within(n, len(tokens)) == 0)
        tag, tags = tokens[tagged], sums(tagged, n)
        tokens, starts, n = tokens[~tagged], starts[~tagged], n - tags
        words, each = self._words(starts, n)
        sample = owner(words, len(each))
        bits = draw.rows(Purpose.SWAP, sample, within(words, len(each)))
        chosen = (bits & 0xFFFFFFFF) < int(self.ratio * (1 << 32))
        if self.lexicon is None:
            tokens = torch.where(chosen.repeat_interleave(each, output_size=len(tokens)), self._foreign(tokens), tokens)
        else:
            tokens, n = self._translated(tokens, each, sample, chosen, (bits >> 32) & 0xFFFFFFFF, len(batch))
        if len(tag):
            tokens, n = self._ended(tokens, n, tag, tags)
        return [view_of(batch, tokens, n, self.spec, "source"), target]

    def _ended(self, tokens_T: Tensor, n_B: Tensor, tag: Tensor, tags_B: Tensor) -> tuple[Tensor, Tensor]:
        """Each text with its tag behind it; what has no room goes, and never the tag."""
        room = self.spec.length - len(self.spec.prefix) - len(self.spec.suffix) - tags_B
        tokens_T = tokens_T[within(n_B, len(tokens_T)) < room.repeat_interleave(n_B, output_size=len(tokens_T))]
        tokens, lengths = weave([(tokens_T, n_B.minimum(room)), (tag, tags_B)])
        return tokens, torch.tensor(lengths, device=n_B.device)

    def _words(self, starts_T: Tensor, n_B: Tensor) -> tuple[Tensor, Tensor]:
        """Words of each sample, and tokens of each word; a text begins a word."""
        starts_T = starts_T.clone()
        starts_T[starts_of(n_B)[n_B > 0]] = True
        first = starts_T.nonzero()[:, 0]
        return sums(starts_T, n_B), torch.diff(first, append=first.new_tensor([len(starts_T)]))

    def _foreign(self, tokens_T: Tensor) -> Tensor:
        """A fixed other token for each ordinary one."""
        ordinary = self.spec.ordinary.to(tokens_T.device)
        order = torch.argsort(mix64(ordinary), stable=True)
        table = torch.arange(self.spec.vocabulary, device=tokens_T.device)
        table[ordinary[order]] = ordinary[order.roll(1)]
        return table[tokens_T]

    def _translated(
        self, tokens_T: Tensor, each_W: Tensor, sample_W: Tensor, chosen_W: Tensor, bits_W: Tensor, count: int
    ) -> tuple[Tensor, Tensor]:
        lexicon = self.lexicon
        assert lexicon is not None
        device = tokens_T.device
        entry, known = lexicon.find(word_hashes(tokens_T, each_W).cpu(), bits_W.cpu())
        entry, swap = entry.to(device), chosen_W & known.to(device)
        other = lexicon.lengths.to(device)
        lengths = torch.where(swap, other[entry], each_W)
        begin = torch.where(swap, starts_of(other)[entry] + len(tokens_T), starts_of(each_W))
        pool = torch.cat((tokens_T, lexicon.tokens.to(device)))
        out = pool[ranges(begin, lengths, int(lengths.sum()))]
        return out, torch.zeros(count, dtype=torch.int64, device=device).index_add_(0, sample_W, lengths)


class Hyphens:
    """Hyphens between letters are taken out of the source; the target has them. Or, with ``parts``, words of a list.

    Args:
        ratio: share of the hyphens that are taken out, in (0, 1].
        parts: a file of lines: word, tab, its parts with hyphens between (the paper's second stage): the source is the
            word, and the target what the file says, or the word where it says nothing; empty = the first stage.
    """

    roles = ("source", "target")
    params = ()

    def __init__(self, spec: TextSpec, *, ratio: float = 1.0, parts: str = "") -> None:
        if not 0 < ratio <= 1:
            raise ValueError(f"ratio is {ratio}; it must be above 0, at most 1")
        self.spec, self.ratio = spec, ratio
        self.parts = dict(pairs_of(Path(parts), "list of compounds")) if parts else {}
        # WordPiece writes "well-known" and "well - known" as the same tokens, and reads them as the second
        self.spaced = "a - b" in spec.text(spec.codec.encode(["a-b"])[0][0].tolist())

    def __call__(self, batch: TextBatch, draw: Draw) -> list[View]:
        texts = [self._text(part.tolist()) for part in batch.tokens.cpu().split(list(batch.lengths))]
        if self.parts:
            return self._views(batch, texts, [self.parts.get(text, text) for text in texts])
        found = [hyphens(text) for text in texts]
        sample = [n for n, places in enumerate(found) for _ in places]
        order = torch.tensor([k for places in found for k in range(len(places))], dtype=torch.int64)
        bits = draw.to("cpu").rows(Purpose.NOISE, torch.tensor(sample, dtype=torch.int64), order) & 0xFFFFFFFF
        out = iter((bits < int(self.ratio * (1 << 32))).tolist())
        sources = [without(text, [p for p in places if next(out)]) for text, places in zip(texts, found, strict=True)]
        return self._views(batch, sources, texts)

    def _text(self, ids: Sequence[int]) -> str:
        text = self.spec.text(ids)
        return SPACED.sub(r"\1", text) if self.spaced else text

    def _views(self, batch: TextBatch, sources: Sequence[str], targets: Sequence[str]) -> list[View]:
        """Views of texts, tokenized anew."""
        made = []
        for role, texts in (("source", sources), ("target", targets)):
            ids = [found for found, _ in self.spec.codec.encode(texts)]
            tokens, device = torch.from_numpy(np.concatenate(ids)), batch.tokens.device
            made.append(
                view_of(batch, tokens.to(device), torch.tensor([*map(len, ids)], device=device), self.spec, role)
            )
        return made
