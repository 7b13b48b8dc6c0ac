"""Samples of a path, with headers known from the start and voxels read when they are asked for.

# N samples, C channels, X, Y, Z voxels
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unlabeled.data.known import Known
from unlabeled.data.manifest import NONE, Manifest, is_table, refuse_columns
from unlabeled.data.readable import SampleError, scan
from unlabeled.data.sources import Folder, Source
from unlabeled.errors import UsageError
from unlabeled_medical3d.data.arrays import Arrays, read_npz
from unlabeled_medical3d.data.dicom import dicom_entries, is_dicom, read_series, read_series_header
from unlabeled_medical3d.data.manifest import annotate, from_manifest
from unlabeled_medical3d.data.nifti import Header, read_header, read_nifti
from unlabeled_medical3d.data.sources import Entry, by_folder, is_label, labels_alone, nifti_entries, open_source, read

NEAR = 1e-3  # affines of channels and labels may differ by this, in mm


@dataclass(frozen=True)
class Raw:
    """A volume as it was read: ``image`` [C, X, Y, Z], ``affine`` [4, 4], labels ``mask`` [X, Y, Z] or None."""

    image: np.ndarray
    affine: np.ndarray
    mask: np.ndarray | None


class FileReader:
    """Samples in files. ``bad`` names those whose header already says that they cannot be used."""

    def __init__(self, source: Source, entries: Sequence[Entry], known: Known, bad: dict[str, str], asked: int) -> None:
        self.source, self.asked = source, asked
        self.passed_over: list[str] = []
        self.no_file = [entry.mask for entry in entries if entry.mask and not source.has(entry.mask)]
        lost = set(self.no_file)
        rows = [(row, replace(e, mask="") if e.mask in lost else e) for row, e in enumerate(entries)]
        good, unusable = scan(rows, lambda numbered: self._look(numbered[1]))
        self.bad = bad | {entry.name: reason for (_, entry), reason in unusable}
        alike = self._same_channels([(row, entry, header) for (row, entry), header in good])
        self.entries, self.headers = [entry for _, entry, _ in alike], [header for _, _, header in alike]
        self.known = known.of([row for row, _, _ in alike])
        self.names = [e.name for e in self.entries]
        self.modalities = [e.modality for e in self.entries]
        self.regions = self._named_regions()

    def _look(self, entry: Entry) -> Header:
        if entry.dicom:
            return read_series_header(self.source, entry)
        headers = [read_header(self.source, name, self.asked) for name in entry.files]
        for name, other in zip(entry.files[1:], headers[1:]):
            _same_grid(headers[0], other, name)
        if entry.mask:
            _same_grid(headers[0], read_header(self.source, entry.mask), entry.mask)
        return Header(headers[0].shape, sum(h.channels for h in headers), headers[0].affine)

    def _same_channels(self, found: list[tuple[int, Entry, Header]]) -> list[tuple[int, Entry, Header]]:
        """Those with the most common number of channels."""
        counts = Counter(header.channels for _, _, header in found)
        self.channels = counts.most_common(1)[0][0] if counts else 1
        for _, entry, header in found:
            if header.channels != self.channels:
                self.bad[entry.name] = f"it has {header.channels} channels, most others {self.channels}"
        return [one for one in found if one[2].channels == self.channels]

    def _named_regions(self) -> tuple[str, ...]:
        """Labels as the dataset.json of the Medical Segmentation Decathlon or of nnU-Net names them."""
        name = next((n for n in self.source.names if n.rsplit("/", 1)[-1] == "dataset.json"), None)
        if name is None:
            return ()
        try:
            labels = json.loads(read(self.source, name)).get("labels", {})
            named = {int(k): v for k, v in labels.items()} if _numbers(labels) else {v: k for k, v in labels.items()}
            return tuple(str(named[n]) for n in range(len(named)))
        except (SampleError, ValueError, AttributeError, KeyError, TypeError):
            return ()  # the labels themselves say how many there are

    def has_mask(self, number: int) -> bool:
        """Whether a sample has voxel labels."""
        return bool(self.entries[number].mask)

    def located(self, number: int) -> tuple[str, str]:
        """The path, or several, that a manifest may name a sample by, and that of its voxel labels."""
        entry = self.entries[number]
        if not isinstance(self.source, Folder):
            raise UsageError(f"{self.source.path} is an archive, and a manifest names files: unpack it first")
        files = [str((self.source.root / name).resolve()) for name in entry.files]
        mask = str((self.source.root / entry.mask).resolve()) if entry.mask else ""
        return str(Path(files[0]).parent) if entry.dicom else ";".join(files), mask

    def read(self, number: int) -> Raw:
        """A sample's voxels; :class:`SampleError` where they cannot be had."""
        entry = self.entries[number]
        if entry.dicom:
            image, affine = read_series([read(self.source, name) for name in entry.files])
        else:
            parts = [read_nifti(read(self.source, name), self.asked) for name in entry.files]
            image, affine = np.concatenate([voxels for voxels, _ in parts]), parts[0][1]
        mask = read_nifti(read(self.source, entry.mask))[0][0] if entry.mask else None
        return Raw(image, affine, mask)

    def contents(self, number: int) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """For each file of a sample: what changes with it, and how to read it."""
        entry = self.entries[number]
        for name in (*entry.files, *([entry.mask] if entry.mask else [])):
            yield self.source.stamp(name), partial(read, self.source, name)


def _numbers(labels: dict[str, object]) -> bool:
    return all(str(k).isdigit() for k in labels)


def _same_grid(one: Header, other: Header, name: str) -> None:
    if one.shape != other.shape:
        raise SampleError(f"{name} has {other.shape} voxels, the image {one.shape}")
    if not np.allclose(one.affine, other.affine, atol=NEAR * max(1.0, float(np.abs(one.affine).max()))):
        raise SampleError(f"{name} lies elsewhere: its affine is not the image's")


class ArrayReader:
    """Samples in the arrays of an ``.npz``, in memory."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        count, self.channels = arrays.x.shape[:2]
        self.names = [f"volume {n}" for n in range(count)]
        affine = np.diag([*arrays.spacing, 1.0])
        shape = tuple(int(n) for n in arrays.x.shape[2:])
        if min(shape) < 2:
            raise UsageError(f"x has volumes of {shape} voxels: slices, not volumes")
        self.headers = [Header(shape, self.channels, affine)] * count
        self.bad: dict[str, str] = {}
        labels = [None] * count if arrays.y is None else [str(int(y)) for y in arrays.y]
        self.known = Known.by_name(labels, arrays.sides or [None] * count)
        self.modalities = [""] * count
        self.regions: tuple[str, ...] = ()
        self.passed_over: list[str] = []
        self.no_file: list[str] = []

    def has_mask(self, number: int) -> bool:
        """Whether a sample has voxel labels."""
        return self.arrays.masks is not None

    def read(self, number: int) -> Raw:
        """A sample's voxels."""
        masks = self.arrays.masks
        return Raw(self.arrays.x[number], self.headers[number].affine, None if masks is None else masks[number])


Reader = FileReader | ArrayReader


def open_reader(path: Path, channels: int, manifest: str, columns: Mapping[str, Any]) -> Reader:
    """The samples at ``path``; :class:`UsageError` where there are none."""
    if is_table(path):
        said, source, entries = from_manifest(path, columns)
        return FileReader(source, entries, _known(said, range(len(entries)), entries, columns), {}, channels)
    if not manifest:
        refuse_columns(path, columns)
    if path.suffix.lower() == ".npz" and path.is_file():
        return ArrayReader(read_npz(path))
    found = open_source(path)
    entries, bad, labels = _entries(path, found)
    known = Known()
    if entries and manifest:
        said, rows, entries = annotate(entries, found, Path(manifest), columns)
        known = _known(said, rows, entries, columns)
    elif entries:
        folders = by_folder(entries)
        known = Known.by_name(folders.classes, folders.sides, groups=tuple(e.patient for e in entries))
    reader = FileReader(found, entries, known, bad, channels)
    reader.passed_over = labels
    return reader


def _known(manifest: Manifest, rows: Sequence[int], entries: Sequence[Entry], columns: Mapping[str, Any]) -> Known:
    """What a manifest knows of its ``rows``; patients where it names no groups."""
    known = manifest.known(rows)
    if known.groups is not None or columns.get("group") == NONE:
        return known
    return replace(known, groups=tuple(entry.patient for entry in entries))


def _entries(path: Path, source: Source) -> tuple[list[Entry], dict[str, str], list[str]]:
    """Samples of a folder or an archive, why other files are none, and label files that belong to none."""
    entries = nifti_entries(source.names)
    bad: dict[str, str] = {}
    series = [n for n in source.names if not n.lower().endswith((".nii", ".nii.gz")) and is_dicom(source, n)]
    if series:
        more, bad = dicom_entries(source, [n for n in series if not is_label(n)])
        entries += more
    labels = labels_alone(source.names, entries)
    if not entries and not bad:
        found_labels = f": its {len(labels)} NIfTI files are labels by their names, {labels[0]}" if labels else ""
        raise UsageError(f"{path} has no volumes{found_labels}; .nii, .nii.gz and DICOM series are read")
    return entries, bad, labels
