"""Volumes of a user: a folder, zip, ``.npz`` or CSV of NIfTI files and DICOM series, made alike.

Every volume is turned to RAS axes, resampled to one spacing, and scaled by its modality. What cannot be used never
stops a run by itself: it is found by its header when the data set is opened, or when its voxels are read, named once
with the reason, and counted; only a share above ``max_bad`` stops. Patients are kept on one side of every split.

    # N samples of the data set, B of a batch, C channels, X, Y, Z voxels
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, Unpack, cast

import numpy as np
import torch
from torch import Tensor

from unlabeled.data.about import about
from unlabeled.data.known import Described
from unlabeled.data.readable import Readable, SampleError
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import UsageError
from unlabeled_medical3d.batch import Partners, Volume, VolumeBatch, VolumeSpec, batch_of, prepare
from unlabeled_medical3d.data.cache import Cache, Memory, default_folder, digest
from unlabeled_medical3d.data.manifest import VolumeColumns
from unlabeled_medical3d.data.nifti import Header
from unlabeled_medical3d.data.reading import ArrayReader, FileReader, Raw, Reader, open_reader
from unlabeled_medical3d.data.sources import Kept
from unlabeled_medical3d.ops.intensity import Modality, foreground_points, guess_modality
from unlabeled_medical3d.ops.spatial import resampled_shape, voxel_size

MOST = 96  # voxels of a side of the views, where the data would have more
TEST_SHARE = 5  # one patient in so many, where patients have several volumes and no split is given
LOOKED_AT = 16  # masks that the names of regions are found from, and volumes whose modality is told
FEW = 16  # whole numbers in a volume that are labels, not intensities
VERSION = 2  # of prepared volumes in the cache


class Volumes(Described, Readable, Partners):
    """Volumes of a user: NIfTI (``.nii``, ``.nii.gz``), DICOM series, ``.npz``; in folders, zips or a manifest
    (``.csv``, ``.tsv``, ``.jsonl``, ``.parquet``) with a column ``image`` (or path, file) and, where it has them,
    label, labels, target, patient (or another group), fold, split, mask and modality.

    Args:
        size: voxels of the views, one number or three (x, y, z); empty = the median volume in steps of 16, at most 96.
        size_mm: the same in mm, one number or three; instead of size.
        spacing: mm that all are resampled to, one number or three; empty = the median of the volumes.
        modality: how intensities are scaled: ct by window, mr by percentiles, shape to its range; auto = as DICOM or a
            manifest says, else as each volume looks.
        window: lowest and highest Hounsfield unit of CT.
        percentiles: of MR's foreground, clipped to.
        channels: 4-D files hold so many channels in their last axis; 0 = files are volumes of one channel.
        mirror: whether a mirror image is still such data.
        manifest: a table of what is known of volumes in a folder or zip, by a column id or path; others are left out.
        regions: names of voxel labels from 0 on, background first; empty = as dataset.json or the labels say.
        cache: folder for prepared volumes; auto = this user's cache folder, none = none.
        cache_gib: GiB that the cache folder may hold.
        memory: MiB of prepared volumes kept in each process.
    """

    samples = "volumes"
    none_left = "{path}: none of the {count:,} volumes can be used; {name}: {reason}"

    def __init__(
        self,
        path: str,
        max_bad: float,
        *,
        size: tuple[int, ...] = (),
        size_mm: tuple[float, ...] = (),
        spacing: tuple[float, ...] = (),
        modality: Literal["auto", "ct", "mr", "shape"] = "auto",
        window: tuple[float, float] = (-160.0, 240.0),
        percentiles: tuple[float, float] = (0.5, 99.5),
        channels: int = 0,
        mirror: bool = True,
        manifest: str = "",
        regions: tuple[str, ...] = (),
        cache: str = "auto",
        cache_gib: float = 20.0,
        memory: int = 1024,
        **columns: Unpack[VolumeColumns],
    ) -> None:
        _check(size, size_mm, spacing, window, percentiles)
        if min(channels, cache_gib, memory) < 0:
            raise ValueError(f"channels {channels}, cache_gib {cache_gib}, memory {memory}: none can be negative")
        self._window, self._percentiles = window, percentiles
        self._reader: Reader = open_reader(Path(path), channels, manifest, columns)
        bad = self._reader.bad
        self._open(Path(path), bad, len(self._reader.names) + len(bad), max_bad)
        headers = self._reader.headers
        grid = _spacing(spacing or self._counted(), headers)
        self.spec = VolumeSpec(self._reader.channels, _size(size, size_mm, grid, headers), grid, mirror)
        self._reader.known.onto(self)
        self._split_patients()
        self._cache = _cache(cache, cache_gib, self._reader)
        self._memory = Memory(memory)
        self._modality: Modality | None = None if modality == "auto" else modality
        self.regions = regions or self._regions()

    # ------------------------------------------------------------------------------------------ what is known

    def _counted(self) -> tuple[float, ...]:
        """The spacing that a manifest's slices were counted at; empty without."""
        entries = self._reader.entries if isinstance(self._reader, FileReader) else []
        return next((entry.kept.spacing for entry in entries if entry.kept), ())

    def _split_patients(self) -> None:
        """Who each is of, and a test of whole patients where nothing says what is held out."""
        self.patients = self.groups or tuple(self._reader.names)
        self.groups = self.patients  # core's splits keep a group on one side
        if self.test is not None or self.val is not None:
            check_whole(self.patients, self.test, self.val)
        elif self.folds is None:
            self.test = patient_split(self.patients)

    def _regions(self) -> tuple[str, ...]:
        """Names of voxel labels, background first; empty where there are no labels."""
        with_masks = [n for n in range(len(self)) if self._reader.has_mask(n)]
        if not with_masks:
            return ()
        if self._reader.regions:
            return self._reader.regions
        step = max(1, len(with_masks) // LOOKED_AT)
        most = 1
        for number in with_masks[::step]:
            try:
                mask = self._reader.read(number).mask
            except SampleError:
                continue  # counted when it is asked for
            most = most if mask is None else max(most, int(_one_region(mask).max()))
        return ("background", *(f"region {n}" for n in range(1, most + 1)))

    def __len__(self) -> int:
        return len(self._reader.names)

    def describe(self) -> str:
        found = [f"{len(self):,} volumes"]
        if len(set(self.patients)) < len(self):
            found.append(_several(len(set(self.patients)), "patient"))
        found += [fact for fact in about(self) if not fact.endswith(" groups")]  # groups are the patients
        if self.regions:
            found.append(_several(len(self.regions) - 1, "labeled region"))
            without = sum(not self._reader.has_mask(n) for n in range(len(self)))
            found += [f"{without:,} without voxel labels"] if without else []
        spec = self.spec
        found += [f"{spec.channels} channel{'s' * (spec.channels > 1)}", f"{_extent(self._reader.headers)} voxels"]
        found += [f"resampled to {' x '.join(f'{mm:g}' for mm in spec.spacing)} mm", self._modalities()]
        if names := self._reader.passed_over:
            found.append(f"{_several(len(names), 'label file')} passed over ({_some(names)})")
        if names := self._reader.no_file:
            found.append(f"{_several(len(names), 'missing mask')} ({_some(names)})")
        if self.bad:
            found.append(f"{len(self.bad):,} unusable skipped")
        return f"{self._path}: {', '.join(found)}"

    # ------------------------------------------------------------------------------------------ reading

    def __getitems__(self, indices: Sequence[int]) -> VolumeBatch:
        """Samples ``indices``. Those that cannot be used are left out, or stood in for in training."""
        found, bad = self._found(indices)
        batch = batch_of([number for number, _ in found], [volume for _, volume in found], tuple(bad.items()))
        if not self._partners:
            return batch
        others = self.partner_of(batch.ids, getattr(indices, "epoch", 0)).tolist()
        beside = [
            self._tried(other, bad) or self._first(self._after(other), {own[0]}, bad) or own
            for other, own in zip(others, found, strict=True)
        ]
        partners = batch_of([number for number, _ in beside], [volume for _, volume in beside])
        return replace(batch, partners=partners, bad=tuple(bad.items()))

    def masks(self, indices: Sequence[int]) -> list[Tensor]:
        """Voxel labels ``int64[X, Y, Z]`` of each, on the grid of its image; ``ValueError`` for one without labels."""
        found = []
        for index in indices:
            mask = self._load(int(index)).mask
            if mask is None:
                raise ValueError(f"{self._reader.names[int(index)]} has no voxel labels")
            found.append(mask.long())
        return found

    def has_mask(self, index: int) -> bool:
        """Whether sample ``index`` has voxel labels."""
        return self._reader.has_mask(index)

    def origin(self, number: int) -> tuple[np.ndarray, tuple[int, ...]]:
        """The affine ``[4, 4]`` and the shape of a sample's own voxels, before they were prepared."""
        if isinstance(self._reader, FileReader) and self._reader.entries[number].kept:
            raise UsageError(f"{self._path} leaves slices out of its volumes, which then have no grid of their own")
        header = self._reader.headers[number]
        return header.affine, header.shape

    def _title(self, number: int) -> str:
        return self._reader.names[number]

    def _load(self, number: int) -> Volume:
        found = self._memory.get(number)
        if found is None:
            found = self._cached(number)
            self._memory.put(number, found)
        return found

    def _cached(self, number: int) -> Volume:
        if self._cache is None or not isinstance(self._reader, FileReader):
            return self._prepared(number)
        modality = self._modality or self._reader.modalities[number] or "auto"
        settings = json.dumps(
            [VERSION, self.spec.spacing, modality, self._window, self._percentiles, self._reader.asked]
            + ([asdict(kept)] if (kept := self._reader.entries[number].kept) else [])
        )
        contents = [self._cache.content(stamp, data) for stamp, data in self._reader.contents(number)]
        return self._cache.get(self._reader.names[number], [settings, *contents], lambda: self._prepared(number))

    def _prepared(self, number: int) -> Volume:
        raw = checked(self._reader.read(number), self.spec.channels)
        if isinstance(self._reader, FileReader) and not (self._reader.modalities[number] or self._modality):
            _no_labels(raw.image)
        if raw.mask is not None and int(raw.mask.max()) >= len(self.regions):
            raise SampleError(f"its voxel labels reach {int(raw.mask.max())}, and {len(self.regions) - 1} are named")
        made = prepare(
            raw.image,
            raw.affine,
            raw.mask,
            spacing=self.spec.spacing,
            modality=self.modality_of(number, raw),
            window=self._window,
            percentiles=self._percentiles,
        )
        kept = self._reader.entries[number].kept if isinstance(self._reader, FileReader) else None
        return made if kept is None else only(made, kept, self.spec.spacing)

    def located(self, number: int) -> tuple[str, str]:
        """The path, or several, that a manifest may name a sample by, and that of its voxel labels."""
        if isinstance(self._reader, FileReader):
            return self._reader.located(number)
        raise UsageError(f"{self._path} is an array of volumes, and a manifest names files")

    def modality_of(self, number: int, raw: Raw | None = None) -> Modality:
        """The modality that the user, a manifest or DICOM says; else what the volume itself looks like."""
        if said := self._modality or self._reader.modalities[number]:
            return cast(Modality, said)
        raw = raw or checked(self._reader.read(number), self.spec.channels)
        return guess_modality(torch.from_numpy(np.ascontiguousarray(raw.image, dtype=np.float32)))

    def _modalities(self) -> str:
        """What volumes are scaled as, of some that are spread over the data."""
        looked = range(0, len(self), max(1, len(self) // LOOKED_AT))
        counts: Counter[Modality] = Counter()
        for number in looked:
            try:
                counts[self.modality_of(number)] += 1
            except SampleError:
                continue  # counted when it is asked for
        if len(counts) < 2:
            return f"scaled as {next(iter(counts), 'mr')}"
        return f"scaled volume by volume, of {len(looked)}: {', '.join(f'{n} {m}' for m, n in counts.most_common())}"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_memory": Memory(0)}  # a spawned worker fills its own


def checked(raw: Raw, channels: int) -> Raw:
    """``raw``, if a model can learn from it; else :class:`SampleError`."""
    if len(raw.image) != channels:
        raise SampleError(f"it has {len(raw.image)} channels, the others {channels}")
    for number, channel in enumerate(raw.image):
        where = f"channel {number + 1} " if len(raw.image) > 1 else ""
        damaged = channel.dtype.kind == "f" and not np.isfinite(channel).all()
        if damaged and not _is_background(np.isnan(channel), channel):
            raise SampleError(f"{where}has {int((~np.isfinite(channel)).sum()):,} voxels that are not finite")
        if np.nanmin(channel) == np.nanmax(channel):
            raise SampleError(f"{where}is constant, {float(np.nanmin(channel)):g} everywhere")
    if raw.image.dtype.kind == "f" and np.isnan(raw.image).any():
        raw = replace(raw, image=np.stack([np.nan_to_num(c, nan=float(np.nanmin(c))) for c in raw.image]))
    if raw.mask is None:
        return raw
    if raw.mask.shape != raw.image.shape[1:]:
        raise SampleError(f"its labels have {raw.mask.shape} voxels, the image {raw.image.shape[1:]}")
    whole = np.asarray(np.round(raw.mask))
    if not np.isfinite(raw.mask).all() or np.abs(whole - raw.mask).max() > 1e-3 or whole.min() < 0 or whole.max() > 255:
        raise SampleError("its labels are not whole numbers from 0 to 255")
    return replace(raw, mask=_one_region(whole).astype(np.uint8))


def only(volume: Volume, kept: Kept, spacing: Sequence[float]) -> Volume:
    """``volume`` of the slices ``kept`` alone, one behind the other; :class:`SampleError` where it lacks one."""
    if any(abs(a - b) > 1e-3 * a for a, b in zip(spacing, kept.spacing, strict=True)):
        said = ",".join(f"{mm:g}" for mm in kept.spacing)
        raise SampleError(f"its slices were counted at other voxels; --data.spacing {said} has them")
    count = volume.image.shape[1 + kept.axis]
    if max(kept.numbers) >= count:
        raise SampleError(f"it has no slice {max(kept.numbers)}: {count} lie across {'xyz'[kept.axis]}")
    index = torch.tensor(kept.numbers)
    image = volume.image.index_select(1 + kept.axis, index)
    mask = None if volume.mask is None else volume.mask.index_select(kept.axis, index)
    return Volume(image, volume.affine, foreground_points(image), mask)


def _one_region(mask: np.ndarray) -> np.ndarray:
    """``mask``, with 1 for 255 where there is nothing else but 0, as programs for pictures write it."""
    return mask > 0 if set(np.unique(mask).tolist()) <= {0, 255} else mask


def _is_background(missing: np.ndarray, channel: np.ndarray) -> bool:
    """Whether what is not finite is NaN around a body: every connected part of it reaches the volume's border."""
    from scipy import ndimage

    if np.isinf(channel).any() or missing.all():
        return False
    parts, count = ndimage.label(missing)
    faces = [np.take(parts, side, axis).ravel() for axis in range(3) for side in (0, -1)]
    return len(set(np.concatenate(faces).tolist()) - {0}) == count


def _no_labels(image: np.ndarray) -> None:
    """:class:`SampleError` for a volume of a few whole numbers: a segmentation, whose values are no intensities."""
    some = np.unique(image.reshape(-1)[:: max(1, image.size // (1 << 16))])
    if len(some) > FEW or not np.array_equal(some, np.round(some)):
        return
    values = np.unique(image)
    if len(values) <= FEW and np.array_equal(values, np.round(values)):
        raise SampleError(
            f"it holds {len(values)} whole numbers alone, {values[0]:g} to {values[-1]:g}: voxel labels, not an image "
            "(--data.modality shape reads shapes)"
        )


def check_whole(patients: Sequence[str], *sides: Tensor | None) -> None:
    """:class:`UsageError` for a given split that tears a patient apart."""
    on = torch.stack([side for side in sides if side is not None]).long()
    place = (on * torch.arange(1, len(on) + 1)[:, None]).sum(0).tolist()
    first: dict[str, int] = {}
    torn = sorted({p for p, side in zip(patients, place, strict=True) if first.setdefault(p, side) != side})
    if torn:
        raise UsageError(
            f"patient {torn[0]} has volumes on several sides of the given split, and {len(torn) - 1} more do; a "
            "manifest says who is who in a column patient, and --data.group none takes each volume by itself"
        )


def patient_split(patients: Sequence[str]) -> Tensor | None:
    """``bool[N]``, True = held out, each patient on one side; None where all patients differ, or are one.

    One in five is held out, chosen by the hash of the name.
    """
    names = sorted(set(patients))
    if len(names) in (1, len(patients)):
        return None
    keys = torch.tensor([int(digest(name)[:12], 16) for name in names])
    order = torch.argsort(Draw(0, 0, keys).words(1, Purpose.SPLIT)[:, 0], stable=True)
    chosen = {names[n] for n in order[: max(1, len(names) // TEST_SHARE)].tolist()}
    return torch.tensor([p in chosen for p in patients])


def _check(size: Any, size_mm: Any, spacing: Any, window: Any, percentiles: Any) -> None:
    for name, value in (("size", size), ("size_mm", size_mm), ("spacing", spacing)):
        if len(value) not in (0, 1, 3) or any(v <= 0 for v in value):
            raise ValueError(f"{name} is {value}; it must be one or three numbers above 0")
    if size and size_mm:
        raise ValueError(f"size {size} and size_mm {size_mm} are both given; one is enough")
    if not window[0] < window[1]:
        raise ValueError(f"window is {window}; it must be two rising Hounsfield units")
    if not 0 <= percentiles[0] < percentiles[1] <= 100:
        raise ValueError(f"percentiles are {percentiles}; they must be two rising numbers in [0, 100]")


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:3], "..."] if len(names) > 3 else names)


def _three(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(values) * (3 if len(values) == 1 else 1)


def _ras_voxels(header: Header) -> tuple[np.ndarray, np.ndarray]:
    """Shape and voxel size of a volume once its axes are right, anterior, superior."""
    import nibabel as nib

    world = nib.orientations.io_orientation(header.affine)[:, 0].astype(int)
    shape, mm = np.empty(3, dtype=int), np.empty(3)
    shape[world], mm[world] = header.shape, voxel_size(header.affine)
    return shape, mm


def _spacing(spacing: Sequence[float], headers: Sequence[Header]) -> tuple[float, ...]:
    if spacing:
        return _three(spacing)
    median = np.median([_ras_voxels(h)[1] for h in headers], axis=0)
    return tuple(float(f"{mm:.4g}") for mm in median)


def _size(
    size: Sequence[int], size_mm: Sequence[float], spacing: tuple[float, ...], headers: Sequence[Header]
) -> tuple[int, ...]:
    if size:
        return _three(size)
    if size_mm:
        return tuple(max(1, round(mm / s)) for mm, s in zip(_three(size_mm), spacing, strict=True))
    shapes = [resampled_shape(shape.tolist(), mm.tolist(), spacing) for shape, mm in map(_ras_voxels, headers)]
    median = np.median(shapes, axis=0)
    return tuple(int(min(MOST, max(16, round(n / 16) * 16))) for n in median)


def _extent(headers: Sequence[Header]) -> str:
    shapes = Counter(h.shape for h in headers)
    if len(shapes) == 1:
        return " x ".join(map(str, next(iter(shapes))))
    low, high = (" x ".join(str(f(axis)) for axis in zip(*shapes)) for f in (min, max))
    return f"{low} to {high}"


def _cache(where: str, gib: float, reader: Reader) -> Cache | None:
    if where == "none" or isinstance(reader, ArrayReader):
        return None
    folder = default_folder() if where == "auto" else Path(where)
    return Cache(folder, int(gib * (1 << 30)))
