"""DICOM series: slices sorted by their place along the normal, rescaled, with the affine in RAS.

The affine follows NIfTI's convention from DICOM's attributes Image Position, Image Orientation and Pixel Spacing (part
3, C.7.6.2), whose x and y axes point the other way. Slices at unequal distances mean that some are missing: refused,
unless their positions were only rounded when they were written.

    # S slices, R rows, K columns of a slice
"""

import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pydicom

from unlabeled.data.readable import SampleError
from unlabeled.data.sources import Source
from unlabeled_medical3d.data.nifti import Header
from unlabeled_medical3d.data.sources import DICOM, Entry, read, stem
from unlabeled_medical3d.ops.spatial import check_affine

EVEN = 0.02  # distances between slices may differ by this share
GAP = 1.51  # a step of so many others is a slice that is missing; positions rounded to half a step reach 1.5
UNITS = (1.0, 0.5, 0.1, 0.01)  # mm that positions may have been rounded to
MODALITIES = {"CT": "ct", "MR": "mr"}  # of DICOM, to ours
PREAMBLE = 132
LONGEST = 200  # characters of a reason: pydicom's may hold the bytes themselves


def is_dicom(source: Source, name: str) -> bool:
    """Whether a file is DICOM: by its suffix, or by the mark after its preamble; archives name files by their UID."""
    if name.rsplit("/", 1)[-1].upper() == "DICOMDIR":
        return False  # the table of contents of a medium
    if name.lower().endswith(DICOM):
        return True
    try:
        return read(source, name, PREAMBLE)[128:] == b"DICM"
    except SampleError:
        return False


def dicom_entries(source: Source, names: Sequence[str]) -> tuple[list[Entry], dict[str, str]]:
    """One entry for each series of more than one slice, and why other files are none."""
    series: dict[str, list[str]] = defaultdict(list)
    patients, modalities, bad = {}, {}, {}
    for name in names:
        try:
            header = _parse(read(source, name), voxels=False)
            uid, patient, modality = _series_of(header)
        except SampleError as error:
            bad[name] = str(error)
            continue
        series[uid].append(name)
        patients[uid], modalities[uid] = patient or uid, modality
    entries = []
    for uid, files in series.items():
        folder = files[0].rpartition("/")[0]
        alone = sum(f[0].rpartition("/")[0] == folder for f in series.values()) == 1
        name = folder if folder and alone else f"{folder}/{uid}" if folder else uid
        if len(files) < 2:
            bad[f"{name} ({stem(files[0])})"] = "a series of one slice, not a volume"
            continue
        entries.append(Entry(name, tuple(files), dicom=True, patient=patients[uid], modality=modalities[uid]))
    return entries, bad


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Whatever pydicom raises as a reason: it is of many kinds, and values are parsed when they are first read."""
    try:
        yield
    except SampleError:
        raise
    except Exception as error:
        raise SampleError(f"{what}: {' '.join(str(error).split())[:LONGEST]}") from error


def _parse(data: bytes, *, voxels: bool) -> Any:
    with _named("no readable DICOM file"):
        return pydicom.dcmread(io.BytesIO(data), stop_before_pixels=not voxels)


def _series_of(header: Any) -> tuple[str, str, str]:
    """The series of a slice, its patient and its modality, empty where it has none."""
    with _named("no readable DICOM file"):
        patient, modality = (str(header.get(name, "") or "") for name in ("PatientID", "Modality"))
        return str(header.SeriesInstanceUID), patient, MODALITIES.get(modality, "")


def _geometry(slices: Sequence[Any]) -> tuple[list[int], np.ndarray]:
    """The order of slices along the normal, and the affine of voxels (column, row, slice)."""
    first = slices[0]
    with _named("a slice lacks its place in the patient"):
        row, column = (np.array(first.ImageOrientationPatient, dtype=np.float64)[n : n + 3] for n in (0, 3))
        down, across = (float(v) for v in first.PixelSpacing)
        place = np.array([s.ImagePositionPatient for s in slices], dtype=np.float64)
        same = all(np.allclose(s.ImageOrientationPatient, first.ImageOrientationPatient, atol=1e-4) for s in slices)
    if not same:
        raise SampleError("its slices are turned against each other")
    normal = np.cross(row, column)
    depth = place @ normal
    order = np.argsort(depth, kind="stable")
    steps = np.diff(depth[order])
    _check_steps(steps, depth[order], _rounded_to(place))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * across, column * down
    affine[:3, 2] = (place[order[-1]] - place[order[0]]) / (len(slices) - 1)
    affine[:3, 3] = place[order[0]]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # DICOM's x and y point to the left and to the back
    check_affine(affine)
    return order.tolist(), affine


def _rounded_to(place: np.ndarray) -> float:
    """The greatest of :data:`UNITS` that all coordinates are multiples of; 0 for none."""
    return next((u for u in UNITS if np.allclose(place / u, np.round(place / u), rtol=0, atol=1e-4)), 0.0)


def _off_grid(depth: np.ndarray) -> float:
    """How far, in mm, the slices lie from the even grid that fits them best."""
    number = np.arange(len(depth))
    left = depth - np.polyval(np.polyfit(number, depth, 1), number)
    return float(left.max() - left.min()) / 2


def _check_steps(steps: np.ndarray, depth: np.ndarray, unit: float) -> None:
    """:class:`SampleError` for slices in one place, or at distances that rounding to ``unit`` mm does not explain."""
    middle = float(np.median(steps))
    if middle <= 1e-4 or steps.min() <= 1e-4:
        raise SampleError("two of its slices lie in the same place: more than one series, or a copy")
    wide = np.flatnonzero(np.abs(steps - middle) > EVEN * middle)
    if len(wide) and (steps.max() > GAP * middle or _off_grid(depth) > unit / 2 + EVEN * middle):
        at = int(np.abs(steps - middle).argmax())
        raise SampleError(
            f"slices are missing: {steps[at]:.2f} mm between slices {at + 1} and {at + 2} "
            f"(at {depth[at]:.1f} mm), {middle:.2f} mm elsewhere"
        )


def read_series_header(source: Source, entry: Entry) -> Header:
    """Shape and affine of a series."""
    slices = [_parse(read(source, name), voxels=False) for name in entry.files]
    _, affine = _geometry(slices)
    with _named("a slice lacks its size"):
        return Header((int(slices[0].Columns), int(slices[0].Rows), len(slices)), 1, affine)


def read_series(files: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Voxels ``[1, columns, rows, slices]`` in the scanner's units (Hounsfield in CT), and the affine."""
    slices = [_parse(data, voxels=True) for data in files]
    order, affine = _geometry(slices)
    planes: list[np.ndarray] = []
    for number in order:
        one = slices[number]
        with _named(f"slice {number + 1} cannot be decoded"):
            pixels = one.pixel_array
        if pixels.ndim != 2 or (planes and pixels.T.shape != planes[0].shape):
            raise SampleError(f"slice {number + 1} is {' x '.join(map(str, pixels.shape))}, unlike the first")
        with _named(f"slice {number + 1} has no scale"):
            slope, intercept = float(one.get("RescaleSlope", 1) or 1), float(one.get("RescaleIntercept", 0) or 0)
        planes.append((pixels.astype(np.float32) * np.float32(slope) + np.float32(intercept)).T)
    return np.stack(planes, -1)[None], affine
