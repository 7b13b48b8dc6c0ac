"""Words to learn from where compounds break, as CompoundPiece has them, https://arxiv.org/abs/2305.14214.

Compounds are the words that texts write with a hyphen, of whatever script; beside them stand as many words without,
the most frequent first. A compound is left out where a part has one letter, or where the texts write it in one word far
more often (e^6 times); of several spellings the most frequent stays. Differs: words are those of the texts.

    # W words
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

from unlabeled.data.sides import Side
from unlabeled_text.data.reading import Record

HYPHENS = "-\u2010\u2011\u058a\u05be\ufe63\uff0d"  # of ASCII, typography, Armenian, Hebrew, small and wide forms
SEEMS = str.maketrans(dict.fromkeys(HYPHENS, "-"))
RARER = math.exp(-6)  # with a hyphen, for each time without


@lru_cache(maxsize=1 << 16)
def is_letter(character: str) -> bool:
    """Whether it is part of a word: a letter, a digit, or a mark upon one (vowel signs of Devanagari)."""
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def hyphens(text: str) -> list[int]:
    """The places of hyphens between two letters."""
    return [
        place
        for place in range(1, len(text) - 1)
        if text[place] in HYPHENS and is_letter(text[place - 1]) and is_letter(text[place + 1])
    ]


def without(text: str, places: Iterable[int]) -> str:
    """The text without its hyphens at ``places``; a letter after one takes the case of the letter before."""
    letters = list(text)
    for place in places:
        before, after = text[place - 1], text[place + 1]
        if before.islower() and after.isupper():
            letters[place + 1] = after.lower()
        elif before.isupper() and after.islower():
            letters[place + 1] = after.upper()
        letters[place] = ""
    return "".join(letters)


def words_of(text: str) -> Iterator[str]:
    """Words of letters and hyphens between them, hyphens as in ASCII; what has digits or signs in it is none."""
    for piece in text.split():
        begin = next((n for n, c in enumerate(piece) if is_letter(c)), len(piece))
        end = next((n for n in range(len(piece), begin, -1) if is_letter(piece[n - 1])), begin)
        word = piece[begin:end].translate(SEEMS)
        if word and all((is_letter(c) and not c.isdigit()) or c == "-" for c in word) and "--" not in word:
            yield word


def compounds(counts: Counter[str]) -> list[str]:
    """The words to learn from, compounds first, each by falling frequency."""
    whole: Counter[str] = Counter()
    for word, count in counts.items():
        whole[word.casefold()] += count if "-" not in word else 0
    best: dict[str, str] = {}
    for word, count in counts.most_common():
        joined = word.replace("-", "").casefold()
        if "-" in word and min(map(len, word.split("-"))) > 1 and count >= RARER * whole[joined]:
            best.setdefault(joined, word)
    plain = (word for word, _ in counts.most_common() if "-" not in word and word.casefold() not in best)
    return [*best.values(), *(word for word, _ in zip(plain, best, strict=False))]


def word_records(records: Iterable[Record]) -> Iterator[Record]:
    """A record for each word to learn from; one of several sides is on the latest of them."""
    counts: Counter[str] = Counter()
    sides: dict[str, set[Side | None]] = {}
    for record in records:
        for word in (word for text in record.texts for word in words_of(text)):
            counts[word] += 1
            sides.setdefault(word, set()).add(record.side)
    for word in compounds(counts):
        latest: tuple[Side | None, ...] = ("test", "val", "train", None)
        yield Record((word,), side=next(side for side in latest if side in sides[word]))
