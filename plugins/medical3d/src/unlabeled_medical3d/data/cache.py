"""Prepared volumes kept in memory, and on disk by the content of their files and every setting that shaped them.

An entry holds its own checksum: one that is cut off or altered is rebuilt, never served. Writers put a whole file in
place at once, so workers and ranks share a cache. What a file's content hashes to is remembered by its size and times,
so that an epoch reads no source file twice.

    # an entry: 32 bytes of BLAKE2b over the rest, then safetensors
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save

from unlabeled.errors import UsageError
from unlabeled_medical3d.batch import Volume

VERSION = "1"  # of how volumes are prepared: another makes every entry another
DIGEST = 32


def digest(*parts: bytes | str) -> str:
    """A key of 32 hexadecimal digits, of parts that cannot run into each other."""
    total = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "little"))
        total.update(data)
    return total.hexdigest()


def default_folder() -> Path:
    """Where caches lie on this system, by the XDG convention."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "unlabeled" / "medical3d"


class Memory:
    """The volumes used last, up to ``most`` MiB of them, in this process."""

    def __init__(self, most: int) -> None:
        self._most, self._held, self._bytes = most << 20, OrderedDict[int, Volume](), 0

    def get(self, number: int) -> Volume | None:
        """Volume ``number``, if it is here."""
        if number in self._held:
            self._held.move_to_end(number)
        return self._held.get(number)

    def put(self, number: int, volume: Volume) -> None:
        """Keep a volume, and let go of those not used for longest."""
        if number in self._held or volume.bytes > self._most:
            return
        self._held[number] = volume
        self._bytes += volume.bytes
        while self._bytes > self._most:
            self._bytes -= self._held.popitem(last=False)[1].bytes


class Cache:
    """Prepared volumes under ``folder``, up to ``most`` bytes; what does not fit is prepared anew each time.

    Args:
        folder: made if it does not exist.
        most: bytes that the folder may hold.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most = folder, most
        self.rebuilt: list[str] = []  # names of samples whose entry was damaged
        try:
            (folder / "contents").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"the cache {folder} cannot be made: {error.strerror}; choose --data.cache") from error
        self._bytes = sum(f.stat().st_size for f in folder.glob("*.volume"))

    def content(self, stamp: str, data: Callable[[], bytes]) -> str:
        """The hash of a file's bytes, read only if its ``stamp`` is new."""
        note = self.folder / "contents" / digest(stamp)
        try:
            known = note.read_text(encoding="ascii")
            if len(known) == DIGEST and set(known) <= set("0123456789abcdef"):
                return known
        except (OSError, UnicodeDecodeError):
            known = ""
        found = digest(data())
        _write(note, found.encode())
        return found

    def get(self, name: str, key: Sequence[str], build: Callable[[], Volume]) -> Volume:
        """The entry of sample ``name``, or what ``build`` makes; ``key`` is all that it depends on."""
        path = self.folder / f"{digest(VERSION, *key)}.volume"
        try:
            found = unpack(path.read_bytes())
        except FileNotFoundError:
            found = None
        except (OSError, ValueError, SafetensorError):
            self.rebuilt.append(name)
            found = None
        if found is not None:
            return found
        volume = build()
        data = pack(volume)
        if self._bytes + len(data) <= self.most:
            _write(path, data)
            self._bytes += len(data)
        return volume


def _write(path: Path, data: bytes) -> None:
    """The whole file at once; a full disk leaves no entry, and is no reason to stop."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)


def pack(volume: Volume) -> bytes:
    """An entry's bytes."""
    tensors = {"image": volume.image, "affine": volume.affine, "points": volume.points}
    if volume.mask is not None:
        tensors["mask"] = volume.mask
    data = save({name: x.contiguous() for name, x in tensors.items()})
    return hashlib.blake2b(data, digest_size=DIGEST).digest() + data


def unpack(data: bytes) -> Volume:
    """The volume of an entry; ``ValueError`` where its checksum is wrong."""
    if hashlib.blake2b(data[DIGEST:], digest_size=DIGEST).digest() != data[:DIGEST]:
        raise ValueError("the checksum does not fit")
    found = load(data[DIGEST:])
    return Volume(found["image"], found["affine"], found["points"], found.get("mask"))
