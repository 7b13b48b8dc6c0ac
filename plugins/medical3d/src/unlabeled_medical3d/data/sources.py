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
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from unlabeled.data import sides, sources, tables
from unlabeled.data.readable import SampleError
from unlabeled.data.sides import Folders
from unlabeled.data.sources import DAMAGED, Folder, Limits, Source
from unlabeled.errors import UsageError

NIFTI = (".nii", ".nii.gz")
DICOM = (".dcm", ".dicom", ".ima")
LABELS = ("labels", "labelstr", "masks", "segmentations", "seg", "label", "mask", "labelsts")
IMAGES = ("images", "imagestr", "image", "volumes", "img", "imagests")
SPLIT = {"imagestr": "train", "imagests": "test"}  # of nnU-Net and the Decathlon, whose test may have no labels
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
            f"{path} is no volume data: give a folder, a .zip, a .nii or .nii.gz, an .npz, or a manifest "
            f"({', '.join(tables.SUFFIXES)})"
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
class Kept:
    """The slices of a volume that are read: their numbers across ``axis`` (0 to 2), at ``spacing`` mm."""

    axis: int
    spacing: tuple[float, ...]
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """One sample: its name, the files of its channels or of its DICOM series, its labels, and what is known of it."""

    name: str
    files: tuple[str, ...]
    dicom: bool = False
    mask: str = ""
    patient: str = ""
    modality: str = ""
    kept: Kept | None = None


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
    by_name = _by_channels(images)
    return [
        Entry(name, tuple(parts), mask=_mask_of(_split(parts[0]), PurePosixPath(name).name, masks), patient=patient)
        for (name, parts), patient in zip(by_name.items(), patients_of(list(by_name)), strict=True)
    ]


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


def patients_of(names: Sequence[str]) -> list[str]:
    """Whose each sample is: BIDS' ``sub-...`` where the name has one; its folder where that is a patient's; itself.

    A folder is a patient's where the names of its files begin with its own (``p7/p7_t1``), and there are as many such
    folders as files in the fullest; fewer may be classes (``benign/benign_07``).
    """
    own = [_own_folder(PurePosixPath(name)) for name in names]
    counts = Counter(folder for folder in own if folder)
    many = len(counts) >= max(counts.values(), default=0)
    bids = [re.search(r"(?:^|[/_])(sub-[A-Za-z0-9]+)", name) for name in names]
    return [b[1] if b else folder if many and folder else name for b, folder, name in zip(bids, own, names)]


def _own_folder(path: PurePosixPath) -> str:
    folder = path.parent.name
    return str(path.parent) if folder and re.match(rf"{re.escape(folder)}([_.-]|$)", path.name) else ""


def by_folder(entries: Sequence[Entry]) -> Folders:
    """The class and the side of each that its folders say, as ``sides`` reads them; a folder a patient is no class.

    Folders of a DICOM export are its patients, studies and series.
    """
    tested = any(e.mask and "imagests" in _folders(e.files[0]) for e in entries)
    found = sides.by_folder([_plain(e.files[0], tested) for e in entries])
    patients = {c for c, e in zip(found.classes, entries, strict=True) if c and PurePosixPath(e.patient).name == c}
    none = any(e.dicom for e in entries) or patients >= set(found.classes) - {None}
    return Folders([None] * len(entries), found.sides) if none else found


def _plain(name: str, tested: bool) -> str:
    """A path without the folders that all data sets of volumes have; nnU-Net's sides by their usual names."""
    *folders, last = PurePosixPath(name.replace("\\", "/")).parts
    said = [SPLIT.get(p.casefold(), p) if tested else p for p in folders]
    return "/".join([*(p for p in said if p.casefold() not in IMAGES), last])
