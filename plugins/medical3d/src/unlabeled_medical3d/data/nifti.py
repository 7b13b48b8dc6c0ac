"""NIfTI files from bytes: header alone, or voxels and affine, with everything that can be wrong given as a reason.

# C channels, X, Y, Z voxels
"""

import io
import math
import struct
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np

from unlabeled.data.readable import SampleError
from unlabeled.data.sources import Source
from unlabeled_medical3d.data.sources import read
from unlabeled_medical3d.ops.spatial import check_affine

HEADER = 544  # bytes of the longer of the two headers, with the sign for extensions


@dataclass(frozen=True)
class Header:
    """What is known of a volume without its voxels: ``shape`` [X, Y, Z], channels in it, ``affine`` [4, 4]."""

    shape: tuple[int, ...]
    channels: int
    affine: np.ndarray


def _kind(start: bytes) -> Any:
    size = struct.unpack("<i", start[:4])[0] if len(start) >= 4 else 0
    for kind, length in ((nib.Nifti1Image, 348), (nib.Nifti2Image, 540)):
        if size in (length, struct.unpack(">i", struct.pack("<i", length))[0]):
            return kind
    raise SampleError("no NIfTI file: its header has none of the two known lengths")


def _header(start: bytes, channels: int) -> Header:
    kind = _kind(start)
    try:
        header = kind.header_class.from_fileobj(io.BytesIO(start), check=False)
        shape = tuple(int(n) for n in header.get_data_shape())
        affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    except Exception as error:  # nibabel raises of many kinds for a damaged header, and the kind is no matter
        raise SampleError(f"its header is damaged: {error}") from error
    check_affine(affine)
    space, count = _shape(shape, channels)
    return Header(space, count, affine)


def _shape(shape: tuple[int, ...], channels: int) -> tuple[tuple[int, ...], int]:
    """Voxels and channels; :class:`SampleError` for what is no volume."""
    said = " x ".join(map(str, shape))
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 4 and shape[3] == channels:
        return shape[:3], channels
    if len(shape) > 3:
        hint = f"; if the last are channels, say so with --data.channels {shape[3]}" if len(shape) == 4 else ""
        raise SampleError(f"{len(shape)} dimensions, {said}, where a volume has 3{hint}")
    if len(shape) < 3 or min(shape) < 2:
        raise SampleError(f"{said} voxels: a slice, not a volume")
    return shape, 1


def read_header(source: Source, name: str, channels: int = 0) -> Header:
    """Shape and affine, from the first bytes alone."""
    return _header(read(source, name, HEADER), channels)


def _check_bytes(data: bytes) -> None:
    """:class:`ValueError` where the header claims more than there is, before memory is taken for it."""
    header = _kind(data).header_class.from_fileobj(io.BytesIO(data[:HEADER]), check=False)
    claimed = math.prod(int(n) for n in header.get_data_shape()) * header.get_data_dtype().itemsize
    if claimed > len(data):
        raise ValueError(f"the header claims {claimed:,} bytes of them, and the file has {len(data):,}")


def read_nifti(data: bytes, channels: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Voxels ``[C, X, Y, Z]``, slope and intercept applied, and the affine."""
    header = _header(data[:HEADER], channels)
    try:
        _check_bytes(data)
        image = _kind(data).from_bytes(data)
        voxels = np.asarray(image.dataobj)
    except Exception as error:  # as above
        raise SampleError(f"its voxels cannot be read: {' '.join(str(error).split())}") from error
    voxels = voxels.reshape(*header.shape, header.channels)
    if voxels.dtype.kind not in "fiu":
        raise SampleError(f"its voxels are {voxels.dtype}, not numbers")
    return np.moveaxis(voxels, -1, 0), header.affine
