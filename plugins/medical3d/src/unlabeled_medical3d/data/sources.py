"""Where volumes come from: a folder or a zip archive, read as bytes; and which files make one sample.

NIfTI files are a sample each; files of nnU-Net's channels (``case_0000``, ``case_0001``) make one together. DICOM files
are grouped by series. Label volumes lie in a folder named for them (``labels``, ``labelsTr``, ``masks``) beside one of
images, under the same name. Hidden files and ``__MACOSX`` are passed over.
"""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from unlabeled.data.files import Zip, walk
from unlabeled.errors import UsageError
from unlabeled_medical3d.data.errors import VolumeError

NIFTI = (".nii", ".nii.gz")
DICOM = (".dcm", ".dicom", ".ima")
LABELS = ("labels", "labelstr", "masks", "segmentations", "seg", "label", "mask", "labelsts")
IMAGES = ("images", "imagestr", "image", "volumes", "img", "imagests")
HELD_OUT = ("test", "imagests")
MOST_CHANNELS = 8
MOST_BYTES = 1 << 34  # of one file, decompressed


class Folder:
    """Files under ``root``, by their relative names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = walk(root)

    def open(self, name: str) -> BinaryIO:
        try:
            return (self.root / name).open("rb")
        except OSError as error:
            raise VolumeError((error.strerror or str(error)).lower()) from error

    def stamp(self, name: str) -> str:
        """What changes when the file does, without reading it."""
        found = (self.root / name).stat()
        return f"{(self.root / name).resolve()}|{found.st_size}|{found.st_mtime_ns}|{found.st_ctime_ns}"


class Archive(Zip):
    """Members of a zip file. Nothing is ever written to disk, so a member's path cannot do harm."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.names = self.members()

    def open(self, name: str) -> BinaryIO:
        try:
            return cast(BinaryIO, self.file.open(name))
        except (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError, OSError) as error:
            raise VolumeError(f"damaged in the archive: {error}") from error

    def stamp(self, name: str) -> str:
        """What changes when the member does: its checksum stands in the archive."""
        info, found = self.file.getinfo(name), self.path.stat()
        return f"{self.path.resolve()}|{found.st_mtime_ns}|{name}|{info.CRC}|{info.file_size}"


Source = Folder | Archive


def open_source(path: Path) -> Source:
    """The files at ``path``; :class:`UsageError` where there can be none."""
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    if path.is_dir():
        return Folder(path)
    if path.suffix.lower() == ".zip":
        return Archive(path)
    if path.name.lower().endswith(NIFTI):
        alone = Folder(path.parent)
        alone.names = [path.name]
        return alone
    raise UsageError(f"{path} is no volume data: give a folder, a .zip, a .nii or .nii.gz, an .npz, or a .csv manifest")


def read(source: Source, name: str, most: int = MOST_BYTES) -> bytes:
    """Up to ``most`` bytes of a file, decompressed where its name ends in ``.gz``; else :class:`VolumeError`."""
    try:
        with source.open(name) as file:
            if not name.lower().endswith(".gz"):
                return file.read(most)
            with gzip.GzipFile(fileobj=file) as inner:
                return inner.read(most)
    except (EOFError, zlib.error) as error:
        raise VolumeError(f"its compressed data is cut off or damaged: {error}") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise VolumeError(f"cannot be read: {error}") from error


# ------------------------------------------------------------------------------------------------- samples


@dataclass(frozen=True)
class Entry:
    """One sample: its name, the files of its channels or of its DICOM series, its labels, and what is known of it."""

    name: str
    files: tuple[str, ...]
    dicom: bool = False
    mask: str = ""
    label: str = ""
    held_out: bool | None = None
    patient: str = ""
    modality: str = ""


def stem(name: str) -> str:
    """A file's name without folders and suffixes."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return re.sub(r"(\.nii)?(\.gz)?$|\.(dcm|dicom|ima)$", "", last, flags=re.IGNORECASE)


def _folders(name: str) -> tuple[str, ...]:
    return tuple(p.casefold() for p in PurePosixPath(name.replace("\\", "/")).parts[:-1])


def is_label(name: str) -> bool:
    """Whether a folder of the name says that it holds voxel labels."""
    return any(part in LABELS for part in _folders(name))


def nifti_entries(names: Sequence[str]) -> list[Entry]:
    """Samples among NIfTI files: channels together, voxel labels beside their images."""
    files = [n for n in names if n.lower().endswith(NIFTI)]
    masks = {(_split(n), stem(n)): n for n in files if is_label(n)}
    images = [n for n in files if not is_label(n)]
    entries = []
    for name, parts in _by_channels(images).items():
        first = parts[0]
        mask = masks.get((_split(first), PurePosixPath(name).name), masks.get((("",), PurePosixPath(name).name), ""))
        entries.append(Entry(name, tuple(parts), mask=mask, patient=patient_of(name), held_out=None))
    return entries


def _split(name: str) -> tuple[str, ...]:
    """Folders that images and labels have in common: all but those named for either."""
    return tuple(p for p in _folders(name) if p not in (*IMAGES, *LABELS))


def _by_channels(images: Sequence[str]) -> dict[str, list[str]]:
    """Files by sample: those of nnU-Net's channels together, where every sample has the same few."""
    plain = {str(PurePosixPath(n).parent / stem(n)): [n] for n in images}
    groups: dict[str, dict[int, str]] = defaultdict(dict)
    for base, (file,) in plain.items():
        found = re.fullmatch(r"(.+)_(\d{4})", base)
        if found is None:
            return plain
        groups[found[1]][int(found[2])] = file
    kinds = {tuple(sorted(channels)) for channels in groups.values()}
    count = len(next(iter(groups.values()), {}))
    if len(groups) < 2 or count > MOST_CHANNELS or kinds != {tuple(range(count))}:
        return plain
    return {base: [channels[n] for n in range(count)] for base, channels in groups.items()}


def patient_of(name: str) -> str:
    """BIDS' ``sub-...`` where the name has one, else the sample's own name."""
    found = re.search(r"(?:^|[/_])(sub-[A-Za-z0-9]+)", name)
    return found[1] if found else name


def by_folder(entries: Sequence[Entry]) -> list[Entry]:
    """Entries with the class and the side that their folders say: ``train`` and ``test``, then a class."""
    parts = [[p for p in _folders(e.files[0]) if p not in IMAGES] for e in entries]
    while parts and all(p and p[0] == parts[0][0] for p in parts):
        parts = [p[1:] for p in parts]
    splits = {p[0] for p in parts if p}
    known = {"train", "val", "validation", *HELD_OUT}
    sided = bool(splits) and splits <= known and "train" in splits and bool(splits & set(HELD_OUT))
    sides = [p[0] in HELD_OUT if sided and p else None for p in parts]
    classes = [p[1:2] if sided else p[:1] for p in parts]
    several = len({c[0] for c in classes if c}) > 1 and not entries[0].dicom
    return [
        replace(e, held_out=side, label=c[0] if several and c else "") for e, side, c in zip(entries, sides, classes)
    ]
