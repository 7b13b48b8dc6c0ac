"""Files of volumes in a folder or a zip archive, read as bytes, and the samples that they make.

NIfTI files are a sample each; files of nnU-Net's channels (``case_0000``, ``case_0001``) make one together. DICOM files
are grouped by series. Label volumes lie in a folder named for them (``labels``, ``labelsTr``, ``masks``) beside one of
images, under the same name, or beside their image as ``case_seg``, ``_mask``, ``_label``, ``_pred``. Hidden files and
``__MACOSX`` are passed over.
"""

import gzip
import lzma
import re
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, cast

from unlabeled.data import sources
from unlabeled.data.readable import SampleError
from unlabeled.data.sources import DAMAGED, Folder, Limits, Source
from unlabeled.errors import UsageError

NIFTI = (".nii", ".nii.gz")
DICOM = (".dcm", ".dicom", ".ima")
LABELS = ("labels", "labelstr", "masks", "segmentations", "seg", "label", "mask", "labelsts")
IMAGES = ("images", "imagestr", "image", "volumes", "img", "imagests")
HELD_OUT = ("test", "imagests")
ENDING = re.compile(r"[_-](seg|segmentation|mask|label|labels|pred|prediction)$", re.IGNORECASE)
PREDICTED = re.compile(r"[_-](pred|prediction)$", re.IGNORECASE)  # somebody's guess, not the truth
MOST_CHANNELS = 8
MOST_BYTES = 1 << 34  # of one file, decompressed
PIECE = 1 << 22  # bytes read at a time
LIMITS = Limits(least=0)  # what an empty file is, its format says


def open_source(path: Path) -> Source:
    """The files at ``path``; :class:`UsageError` where there can be none."""
    source = sources.open_source(path, limits=LIMITS)
    if source is None and path.name.lower().endswith(NIFTI):
        source = Folder(path.parent, limits=LIMITS, names=[path.name])
    if source is None:
        raise UsageError(
            f"{path} is no volume data: give a folder, a .zip, a .nii or .nii.gz, an .npz, or a .csv manifest"
        )
    return source


def read(source: Source, name: str, most: int = MOST_BYTES) -> bytes:
    """Up to ``most`` bytes of a file, decompressed where its name ends in ``.gz``; else :class:`SampleError`."""
    try:
        with source.open(name) as file:
            if not name.lower().endswith(".gz"):
                return _up_to(most, file)
            with gzip.GzipFile(fileobj=file) as inner:
                return _up_to(most, cast(IO[bytes], inner))
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise SampleError(f"its compressed data is cut off or damaged: {error}") from error
    except DAMAGED as error:
        raise SampleError(f"cannot be read: {error}") from error


def _up_to(most: int, file: IO[bytes]) -> bytes:
    """In pieces: one call for ``most`` bytes would set aside as many."""
    found = bytearray()
    while len(found) < most and (piece := file.read(min(PIECE, most - len(found)))):
        found += piece
    return bytes(found)


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
    """Whether a folder of the name, or its own ending, says that it holds voxel labels."""
    return any(part in LABELS for part in _folders(name)) or ENDING.search(stem(name)) is not None


def labels_alone(names: Sequence[str], entries: Sequence[Entry]) -> list[str]:
    """NIfTI files that their names call labels, and that belong to no entry."""
    used = {entry.mask for entry in entries}
    return [n for n in names if n.lower().endswith(NIFTI) and is_label(n) and n not in used]


def nifti_entries(names: Sequence[str]) -> list[Entry]:
    """Samples among NIfTI files: channels together, voxel labels beside their images."""
    files = [n for n in names if n.lower().endswith(NIFTI)]
    masks = {(_split(n), ENDING.sub("", stem(n))): n for n in files if is_label(n) and not PREDICTED.search(stem(n))}
    images = [n for n in files if not is_label(n)]
    entries = []
    for name, parts in _by_channels(images).items():
        first = parts[0]
        mask = _mask_of(_split(first), PurePosixPath(name).name, masks)
        entries.append(Entry(name, tuple(parts), mask=mask, patient=patient_of(name), held_out=None))
    return entries


def _mask_of(folders: tuple[str, ...], name: str, masks: Mapping[tuple[tuple[str, ...], str], str]) -> str:
    """The labels under an image's name, or under the name of its case: ``case_seg`` is of ``case_t1`` too."""
    cases = [name[: found.start()] for found in reversed(list(re.finditer(r"[_-]", name)))]
    return next((masks[folders, case] for case in (name, *cases) if (folders, case) in masks), "")


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
