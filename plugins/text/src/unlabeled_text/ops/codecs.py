"""Texts to token ids and back: any ``tokenizer.json`` of the `tokenizers` library, or plain bytes.

Bytes follow ByT5 (https://arxiv.org/abs/2105.13626): 0 pad, 1 end, 2 unknown, then byte b at b + 3, then extra ids.

    # T tokens of one text
"""

import base64
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from unlabeled.errors import UsageError

BYTES = "bytes"
BYTE_SHIFT, BYTE_EXTRA, BYTE_TOTAL = 3, 259, 384
_PIECE = 1 << 16  # characters that are tokenized at a time: time grows faster than length


class Codec(Protocol):
    """Texts to ids, without specials, and where words begin; ids to text."""

    def encode(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def vocabulary(self) -> Sequence[str]: ...


class Bytes:
    """UTF-8 bytes as tokens. A word is a run of letters and digits with the space before it; others stand alone."""

    def encode(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        raw = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
        return raw.astype(np.int64) + BYTE_SHIFT, byte_words(raw)

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i - BYTE_SHIFT for i in ids if BYTE_SHIFT <= i < BYTE_EXTRA).decode("utf-8", errors="replace")

    def vocabulary(self) -> list[str]:
        plain = [chr(b) if 32 <= b < 127 else f"<0x{b:02X}>" for b in range(256)]
        return ["<pad>", "</s>", "<unk>", *plain, *(f"<extra_id_{i}>" for i in range(BYTE_TOTAL - BYTE_EXTRA))]


def byte_words(raw_T: np.ndarray) -> np.ndarray:
    """``bool[T]``, True = the byte begins a word."""
    if not len(raw_T):
        return np.zeros(0, dtype=bool)
    letter = (raw_T >= 128) | ((raw_T | 32) >= 97) & ((raw_T | 32) <= 122) | (raw_T >= 48) & (raw_T <= 57)
    space = (raw_T == 32) | (raw_T >= 9) & (raw_T <= 13)
    joins = letter[1:] & letter[:-1] | space[:-1]
    return np.concatenate(([True], ~joins))


class Json:
    """A ``tokenizer.json`` of the `tokenizers` library; a word is what its pre-tokenizer makes of the text."""

    def __init__(self, text: str) -> None:
        from tokenizers import Tokenizer

        try:
            self.tokenizer = Tokenizer.from_str(text)
        except Exception as error:
            raise UsageError(f"no tokenizer.json that the tokenizers library reads: {error}") from error
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def encode(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        pieces = [list(_pieces(text)) for text in texts]
        found = iter(self.tokenizer.encode_batch([p for each in pieces for p in each], add_special_tokens=False))
        return [_join([_arrays(next(found)) for _ in each]) for each in pieces]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))

    def vocabulary(self) -> list[str]:
        size = self.tokenizer.get_vocab_size()
        return [self.tokenizer.id_to_token(i) or "" for i in range(size)]


def _pieces(text: str) -> Iterator[str]:
    """A long text in parts that end before a space, so that a line of 10 MB takes linear time."""
    start = 0
    while len(text) - start > _PIECE:
        cut = text.rfind(" ", start + _PIECE // 2, start + _PIECE)
        stop = start + _PIECE if cut < 0 else cut
        yield text[start:stop]
        start = stop
    yield text[start:]


def _arrays(encoding: Any) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array(encoding.ids, dtype=np.int64)
    words = np.array([-1 if w is None else w for w in encoding.word_ids], dtype=np.int64)
    return ids, np.concatenate(([True], words[1:] != words[:-1])) if len(ids) else np.zeros(0, dtype=bool)


def _join(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return (
        parts[0] if len(parts) == 1 else (np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
    )


def pack_json(text: str) -> str:
    """A tokenizer.json as printable text, about a quarter as long."""
    return base64.b85encode(zlib.compress(text.encode("utf-8"), 9)).decode("ascii")


def unpack_json(packed: str) -> str:
    """What :func:`pack_json` was given."""
    try:
        return zlib.decompress(base64.b85decode(packed)).decode("utf-8")
    except (ValueError, zlib.error) as error:
        raise UsageError(f"the tokenizer in the spec is damaged: {error}") from error


@lru_cache(maxsize=8)
def codec_of(packed: str) -> Codec:
    """The live tokenizer of ``TextSpec.tokenizer``."""
    return Bytes() if packed == BYTES else Json(unpack_json(packed))
