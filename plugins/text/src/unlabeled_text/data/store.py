"""Pre-tokenized texts in memory-mapped arrays: written once, read in place by every process.

``tokens.bin`` holds token ids (uint16 where they fit, else int32), ``starts.bin`` a byte for each token, 1 = first of a
word; ``offsets[N + 1]`` say where each text begins. Nothing is pickled.

    # N texts, T tokens of all, B texts of a batch
"""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

TOKENS, STARTS, ARRAYS, META = "tokens.bin", "starts.bin", "arrays.npz", "meta.json"


@dataclass(frozen=True)
class Store:
    """Token ids and word starts of N texts, one after the other, without specials."""

    tokens: np.ndarray
    starts: np.ndarray
    offsets: np.ndarray
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(
        self, index_B: np.ndarray, most: int, prefix: np.ndarray, suffix: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        """Tokens and starts of texts ``index_B``, packed, each in its frame of specials, and their lengths.

        A text is cut to ``most`` tokens, frame included.
        """
        frame = len(prefix) + len(suffix)
        begin = self.offsets[index_B]
        body = np.minimum(self.offsets[index_B + 1] - begin, most - frame)
        # slices copy at memory speed; one gather over all tokens would make an index as long as they are. A slice of a
        # memmap costs four times one of a plain view of it
        own, first = self.tokens.view(np.ndarray), self.starts.view(np.ndarray)
        tokens: list[np.ndarray] = [own[:0]]
        starts: list[np.ndarray] = [first[:0]]
        before, after = np.ones(len(prefix), bool), np.ones(len(suffix), bool)
        for a, n in zip(begin.tolist(), body.tolist(), strict=True):
            tokens += (prefix, own[a : a + n], suffix)
            starts += (before, first[a : a + n], after)
        return np.concatenate(tokens), np.concatenate(starts), tuple((body + frame).tolist())

    def __getstate__(self) -> dict[str, Any]:
        # a spawned reader maps the files again; without files the arrays travel
        return {"folder": self.folder} if self.folder is not None else dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(open_store(state["folder"]).__dict__ if state.keys() == {"folder"} else state)


def cache_home(setting: str) -> Path:
    """Where stores are kept: the setting, else ``$UNLABELED_CACHE``, else ``~/.cache/unlabeled``; in ``text/``."""
    base = setting or os.environ.get("UNLABELED_CACHE") or str(Path.home() / ".cache" / "unlabeled")
    return Path(base) / "text"


class Writer:
    """Collects texts; ``finish`` gives the store, in memory or written into ``folder``."""

    def __init__(self, vocabulary: int) -> None:
        self.kind = np.dtype(np.uint16 if vocabulary <= 1 << 16 else np.int32)
        self._tokens: list[np.ndarray] = []
        self._starts: list[np.ndarray] = []
        self._lengths: list[int] = []

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, tokens: np.ndarray, starts: np.ndarray) -> None:
        """One text, of one token or more."""
        self._tokens.append(tokens.astype(self.kind))
        self._starts.append(starts.astype(bool))
        self._lengths.append(len(tokens))

    def finish(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], folder: Path | None = None) -> Store:
        """The store; with a folder, written there whole or not at all, and memory-mapped."""
        offsets = np.concatenate(([0], np.cumsum(self._lengths, dtype=np.int64)))
        tokens = np.concatenate(self._tokens) if self._tokens else np.zeros(0, self.kind)
        starts = np.concatenate(self._starts) if self._starts else np.zeros(0, bool)
        if folder is None:
            return Store(tokens, starts, offsets, dict(arrays), dict(meta))
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            there = Path(temporary) / "store"
            there.mkdir()
            tokens.tofile(there / TOKENS)
            starts.tofile(there / STARTS)
            np.savez(there / ARRAYS, allow_pickle=False, **{**arrays, "offsets": offsets})
            (there / META).write_text(json.dumps({**meta, "kind": self.kind.name}), encoding="utf-8")
            try:
                os.replace(there, folder)
            except OSError:
                if not (folder / META).is_file():  # another process was first where there is one
                    raise
        return open_store(folder)


def open_store(folder: Path) -> Store:
    """The store that was written into ``folder``, memory-mapped."""
    meta = json.loads((folder / META).read_text(encoding="utf-8"))
    with np.load(folder / ARRAYS, allow_pickle=False) as found:
        arrays = {name: found[name] for name in found.files}

    def mapped(name: str, kind: Any) -> np.ndarray:
        file = folder / name
        return np.memmap(file, dtype=kind, mode="r") if file.stat().st_size else np.zeros(0, kind)

    return Store(mapped(TOKENS, meta["kind"]), mapped(STARTS, bool), arrays.pop("offsets"), arrays, meta, folder)


def texts_hash(parts: Iterable[str]) -> str:
    """A name for a store, from everything that made it."""
    import hashlib

    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part.encode("utf-8", errors="surrogateescape"))
        digest.update(b"\x00")
    return digest.hexdigest()
