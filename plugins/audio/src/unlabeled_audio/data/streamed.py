"""Sizes that a writer left open: one that streams cannot go back to fill them in, though all samples follow.

``sox`` and speech services write 0x7FFFFFFF, others 0 or the greatest number. WAV, RF64, W64 and AU have such sizes;
libsndfile takes 0 for "no samples".
"""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

OPEN_32 = 0x7FFFF000  # from here on no size of four bytes is meant: sox stops at 0x7FFFF000, others at 0x7FFFFFFF
W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
CHUNKS = 64  # looked at before the samples


class Filled(io.RawIOBase):
    """``file`` with ``patches``, bytes by position, in place of its own."""

    def __init__(self, file: BinaryIO, patches: dict[int, bytes]) -> None:
        self._file, self._patches = file, patches

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        start = self._file.tell()
        found = bytearray(self._file.read(len(buffer)))
        for at, new in self._patches.items():
            first, last = max(at, start), min(at + len(new), start + len(found))
            if first < last:
                found[first - start : last - start] = new[first - at : last - at]
        buffer[: len(found)] = found
        return len(found)


def filled(file: BinaryIO, size: int) -> BinaryIO:
    """``file`` itself, or with the size of its samples filled in where that was left open."""
    head = file.read(64)
    kinds = {b"RIFF": _riff, b"RF64": _rf64, b".snd": _au, W64[:4]: _w64}
    find = kinds.get(head[:4])
    patches = find(file, head, size) if find and len(head) >= 24 else {}
    file.seek(0)
    return Filled(file, patches) if patches else file  # type: ignore[return-value]


def _riff(file: BinaryIO, head: bytes, size: int) -> dict[int, bytes]:
    for at, name, claimed in _chunks(file, size):
        rest = size - at - 8
        if name == b"data" and _is_open(file, at + 8, claimed, rest):
            return {4: struct.pack("<I", size - 8), at + 4: struct.pack("<I", rest)}
    return {}


def _rf64(file: BinaryIO, head: bytes, size: int) -> dict[int, bytes]:
    """Its sizes stand in the chunk ds64: of the file, of the samples' bytes, of samples."""
    if head[12:16] != b"ds64" or len(head) < 36:
        return {}
    claimed = struct.unpack("<Q", head[28:36])[0]
    for at, name, _ in _chunks(file, size):
        rest = size - at - 8
        if name == b"data" and claimed != rest and (claimed == 0 or claimed >= 1 << 62 or claimed in _ENDS):
            return {20: struct.pack("<QQ", size - 8, rest)}
    return {}


def _au(file: BinaryIO, head: bytes, size: int) -> dict[int, bytes]:
    first, claimed = struct.unpack(">II", head[4:12])
    rest = size - first
    return {8: struct.pack(">I", rest)} if rest > 0 and (claimed == 0 or claimed >= OPEN_32) and rest < OPEN_32 else {}


def _w64(file: BinaryIO, head: bytes, size: int) -> dict[int, bytes]:
    at = 40
    for _ in range(CHUNKS):
        file.seek(at)
        chunk = file.read(24)
        if head[:16] != W64 or len(chunk) < 24:
            return {}
        claimed = struct.unpack("<Q", chunk[16:])[0]
        if chunk[:4] == b"data":
            left_open = claimed in (0, 24, *_ENDS) or claimed >= 1 << 62
            return {16: struct.pack("<Q", size), at + 16: struct.pack("<Q", size - at)} if left_open else {}
        at += max(24, claimed + 7 & ~7)
    return {}


_ENDS = (0x7FFFFFFF, 0xFFFFFFFF)


def _chunks(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes, int]]:
    """Position, name and claimed size of the chunks of a RIFF file, to the samples."""
    at = 12
    for _ in range(CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        name, claimed = head[:4], struct.unpack("<I", head[4:])[0]
        yield at, name, claimed
        if name == b"data":
            return
        at += 8 + claimed + claimed % 2


def _is_open(file: BinaryIO, first: int, claimed: int, rest: int) -> bool:
    if claimed or not rest:
        return claimed >= OPEN_32 and claimed > rest
    file.seek(first)
    name, length = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
    return not (name.isalnum() and length + 8 <= rest)  # a chunk after none: the file says nothing
