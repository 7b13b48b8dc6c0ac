"""Samples named by a manifest, or what one says of the volumes in a folder; ``unlabeled.data.manifest`` reads it.

The column of samples (``image``, ``path``, ...) has paths, absolute or from the manifest's own folder: a file, several
channels joined by ``;``, or a folder of one DICOM series. Beside the columns of every domain there may be ``mask``, a
path of voxel labels, and ``modality``: ct, mr or shape; and, as ``select`` writes them, ``slices``, the numbers of
those that are read, the ``axis`` (x, y, z) that they lie across and the ``spacing`` in mm that they were counted at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from unlabeled.data.files import walk
from unlabeled.data.manifest import NONE, Columns, Manifest, is_table, read_manifest
from unlabeled.data.sources import Folder, Source
from unlabeled.data.tables import SUFFIXES
from unlabeled.errors import UsageError
from unlabeled_medical3d.data.dicom import is_dicom
from unlabeled_medical3d.data.sources import LIMITS, Entry, Kept, patients_of, stem

PATHS = ("image", "path", "file", "filename", "image_path", "file_name", "img", "filepath", "volume", "scan")
MASKS = ("mask", "mask_path", "segmentation", "seg")
MODALITIES = {"ct": "ct", "mr": "mr", "mri": "mr", "shape": "shape"}


class VolumeColumns(Columns, total=False):
    """Columns of data whose samples may have voxel labels.

    Args:
        mask: a manifest's column of voxel labels: their paths.
    """

    mask: str


def from_manifest(path: Path, columns: Mapping[str, Any]) -> tuple[Manifest, Folder, list[Entry]]:
    """The samples that a manifest names, in its order."""
    manifest = read_manifest(path, PATHS, columns)
    source = Folder(path.parent, limits=LIMITS, names=[])
    patients = patients_of(manifest.paths)
    entries = [_entry(source, name, patient) for name, patient in zip(manifest.paths, patients, strict=True)]
    return manifest, source, _told(entries, range(len(entries)), manifest, source, columns)


def _entry(source: Folder, name: str, patient: str) -> Entry:
    files = tuple(part.strip() for part in name.split(";") if part.strip())
    if len(files) == 1 and (source.root / files[0]).is_dir():
        inside = [f"{files[0]}/{n}" for n in walk(source.root / files[0])]
        return Entry(name, tuple(n for n in inside if is_dicom(source, n)), dicom=True, patient=patient)
    return Entry(name, files, patient=patient)


def annotate(
    entries: Sequence[Entry], source: Source, path: Path, columns: Mapping[str, Any]
) -> tuple[Manifest, list[int], list[Entry]]:
    """Entries that a manifest names, by their path or by the name of their file, its row for each, and what it says."""
    if not is_table(path):
        raise UsageError(f"--data.manifest {path} is no table: give a file that ends in {', '.join(SUFFIXES)}")
    manifest = read_manifest(path, ("id", *PATHS), columns)
    by_name: dict[str, int] = {}
    for row, name in enumerate(manifest.paths):
        if by_name.setdefault(_bare(name), row) != row:
            raise manifest.table.wrong(row, f"{name} stands there a second time")
    row_of = [by_name.get(_bare(e.name), by_name.get(stem(e.name), -1)) for e in entries]
    kept = [(entry, row) for entry, row in zip(entries, row_of, strict=True) if row >= 0]
    if not kept:
        raise UsageError(
            f"{path} names none of the {len(entries):,} volumes: its first is {manifest.names[0]!r}, "
            f"the first volume {stem(entries[0].name)!r}"
        )
    rows = [row for _, row in kept]
    return manifest, rows, _told([entry for entry, _ in kept], rows, manifest, source, columns)


def _bare(name: str) -> str:
    """A path without the suffixes of volumes."""
    path = PurePosixPath(name)
    return str(path.parent / stem(name))


def _told(
    entries: Sequence[Entry], rows: Sequence[int], manifest: Manifest, source: Source, columns: Mapping[str, Any]
) -> list[Entry]:
    """``entries`` with the voxel labels and the modality that the manifest's ``rows`` name."""
    masks, modalities, kept = _masks(manifest, columns), _modalities(manifest), _slices(manifest)
    found = [
        replace(entry, mask=masks[row] or entry.mask, modality=modalities[row] or entry.modality, kept=kept[row])
        for entry, row in zip(entries, rows, strict=True)
    ]
    named = [entry.mask for entry, row in zip(found, rows, strict=True) if masks[row]]
    if named and not any(source.has(name) for name in named):
        raise UsageError(f"{manifest.table.path}: none of the {len(named):,} masks is a file, {named[0]} the first")
    return found


def _masks(manifest: Manifest, columns: Mapping[str, Any]) -> list[str]:
    """The path of each row's voxel labels, empty without."""
    asked, table = columns.get("mask", ""), manifest.table
    usual = [table.folded[name] for name in MASKS if name in table.folded]
    name = table.find(asked) if asked not in ("", NONE) else next(iter(usual if asked != NONE else ()), "")
    if not name:
        return [""] * len(manifest)
    return [(text or "").replace("\\", "/") for text in table.texts(name)]


def _modalities(manifest: Manifest) -> list[str]:
    """The modality of each row, empty without; :class:`UsageError` for a word that is none."""
    table = manifest.table
    if "modality" not in table.folded:
        return [""] * len(manifest)
    found = [(text or "").casefold() for text in table.texts(table.folded["modality"])]
    for row, text in enumerate(found):
        if text and text not in MODALITIES:
            raise table.wrong(row, f"modality is {text!r}; it must be ct, mr or shape")
    return [MODALITIES.get(text, "") for text in found]


def _slices(manifest: Manifest) -> list[Kept | None]:
    """The slices of each row that are read; None = all."""
    table = manifest.table
    if not {"axis", "spacing", "slices"} <= set(table.folded):
        return [None] * len(manifest)
    axes, spacings, slices = (table.texts(table.folded[name]) for name in ("axis", "spacing", "slices"))
    found: list[Kept | None] = []
    for row, (axis, spacing, numbers) in enumerate(zip(axes, spacings, slices, strict=True)):
        try:
            mm = tuple(map(float, (spacing or "").split()))
            kept = Kept("xyz".index(axis or "none"), mm, tuple(map(int, (numbers or "").split())))
        except ValueError:
            mm = ()
        if len(mm) != 3 or min(mm) <= 0 or not kept.numbers or min(kept.numbers) < 0:
            raise table.wrong(row, "axis is x, y or z, spacing three numbers of mm, slices whole numbers from 0 on")
        found.append(kept)
    return found
