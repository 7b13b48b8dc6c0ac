"""DICOM series: order, rescaling, the affine, and slices that are missing."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from unlabeled.errors import UsageError
from unlabeled_medical3d.data.volumes import Volumes

SHAPE, MM = (10, 12, 8), (0.8, 1.2, 2.5)  # columns, rows, slices


def hounsfield():
    x = np.random.default_rng(0).integers(-1000, 1500, SHAPE)
    x[0, 0, 0] = -1000
    return x


def write(folder, x, *, series, shuffle=True, leave_out=(), patient="P1"):
    """Slices of ``x[columns, rows, slices]`` in LPS, in files whose names say nothing of their order."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(x.shape[2]):
        if number in leave_out:
            continue
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        name = folder / f"IM{(number * 7) % x.shape[2] if shuffle else number:03d}.dcm"
        one = FileDataset(str(name), {}, file_meta=meta, preamble=b"\0" * 128)
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        one.SeriesInstanceUID, one.PatientID, one.Modality = series, patient, "CT"
        one.Columns, one.Rows = x.shape[:2]
        one.PixelSpacing, one.SliceThickness = [MM[1], MM[0]], MM[2]
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.ImagePositionPatient = [5, 6, 7 + MM[2] * number]
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
        one.RescaleSlope, one.RescaleIntercept = 2, -1024
        one.PixelData = ((x[:, :, number] + 1024) // 2).astype(np.uint16).T.tobytes()
        one.save_as(name, enforce_file_format=True)


def open_(path, max_bad=0.5, **settings):
    settings = {"cache": "none", "window": (-1024.0, 2048.0), **settings}
    return Volumes(str(path), max_bad, **settings)


def test_a_series_is_sorted_rescaled_and_turned_to_ras(tmp_path):
    x = hounsfield() // 2 * 2
    write(tmp_path / "scan", x, series="1.2.3")
    data = open_(tmp_path)
    assert len(data) == 1
    assert data.spec.spacing == pytest.approx(MM)
    batch = data.__getitems__([0])
    found = (batch.images[0, 0] + 1) / 2 * 3072 - 1024
    expected = x[::-1, ::-1]  # left and posterior become right and anterior
    np.testing.assert_allclose(found.numpy(), expected, atol=0.01)
    corner = [-5 - MM[0] * (SHAPE[0] - 1), -6 - MM[1] * (SHAPE[1] - 1), 7.0]
    np.testing.assert_allclose(batch.affine[0, :3, 3].numpy(), corner, atol=1e-6)
    np.testing.assert_allclose(batch.affine[0, :3, :3].diagonal().numpy(), MM, atol=1e-6)


def test_series_of_one_folder_are_told_apart(tmp_path):
    write(tmp_path / "both", hounsfield(), series="1.2.3", patient="A")
    write(tmp_path / "other", hounsfield()[:, :, :6], series="1.2.4", patient="A")
    for file in (tmp_path / "other").iterdir():
        file.rename(tmp_path / "both" / f"x{file.name}")
    data = open_(tmp_path)
    assert len(data) == 2
    assert data.patients == ("A", "A")
    assert sorted(h.shape[2] for h in data._reader.headers) == [6, 8]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: write(folder, hounsfield(), series="9", leave_out=(3,)), "slices are missing: 5.00 mm"),
        (lambda folder: (write(folder, hounsfield(), series="9"), _copy(folder)), "in the same place"),
    ],
)
def test_gaps_and_copies_are_named(tmp_path, spoil, reason):
    write(tmp_path / "good", hounsfield(), series="1")
    spoil(tmp_path / "zz_bad")
    assert reason in open_(tmp_path).bad["zz_bad"]


@pytest.mark.parametrize("seed", range(3))
def test_spoilt_bytes_of_a_slice_are_never_a_traceback(tmp_path, seed):
    write(tmp_path / "good", hounsfield(), series="1")
    chance = np.random.default_rng(seed)
    for number in range(8):
        write(tmp_path / f"bad{number}", hounsfield(), series=f"2.{number}")
        first = sorted((tmp_path / f"bad{number}").iterdir())[0]
        data = bytearray(first.read_bytes())
        for place in chance.integers(132, min(900, len(data)), 12):
            data[place] = chance.integers(256)
        first.write_bytes(data[: chance.integers(400, len(data))] if number % 2 else data)
    found = open_(tmp_path, 0.99)
    read = [number for number in range(len(found)) if len(found.__getitems__([number]))]
    assert "good" in [found.names[number] for number in read]
    assert len(found) + len(found.bad) >= 9, "each series is there, or named"


def _copy(folder):
    first = sorted(folder.iterdir())[0]
    again = pydicom.dcmread(first)
    again.SOPInstanceUID = generate_uid()
    again.save_as(folder / "again.dcm")


def test_one_slice_is_no_volume(tmp_path):
    write(tmp_path / "one", hounsfield()[:, :, :1], series="1")
    with pytest.raises(UsageError, match="a series of one slice, not a volume"):
        open_(tmp_path)


def test_what_is_no_dicom_is_named(tmp_path):
    write(tmp_path / "good", hounsfield(), series="1")
    (tmp_path / "good" / "broken.dcm").write_bytes(b"no dicom")
    assert "no readable DICOM file" in open_(tmp_path).bad["good/broken.dcm"]


@pytest.mark.parametrize("prefix", ["MR.1.3.12.2.1107.5", "1.2.840.113619.2", "scan.v2.part", "IM"])
def test_files_named_by_their_uid_are_read(tmp_path, prefix):
    write(tmp_path, hounsfield(), series="1")
    for number, file in enumerate(sorted(tmp_path.iterdir())):
        file.rename(tmp_path / f"{prefix}.{number}")
    (tmp_path / "notes.of.the.scan").write_text("no volume " * 40)
    data = open_(tmp_path)
    assert len(data) == 1
    assert not data.bad


def _move(folder, places):
    for file in folder.iterdir():
        one = pydicom.dcmread(file)
        number = round((float(one.ImagePositionPatient[2]) - 7) / MM[2])
        one.ImagePositionPatient = [5, 6, places(number)]
        one.save_as(file)


@pytest.mark.parametrize(("step", "digits"), [(1.25, 1), (0.625, 1), (2.5, 0), (0.033, 2)])
def test_rounded_positions_are_no_gaps(tmp_path, step, digits):
    write(tmp_path, hounsfield(), series="1")
    _move(tmp_path, lambda number: round(number * step, digits))
    assert open_(tmp_path).spec.spacing[2] == pytest.approx(step, abs=10**-digits / 7)


@pytest.mark.parametrize("step", [1.0, 1.25, 2.5])
def test_a_slice_that_is_missing_is_missed_in_rounded_positions_too(tmp_path, step):
    write(tmp_path / "good", hounsfield(), series="2")
    write(tmp_path / "zz_bad", hounsfield(), series="1", leave_out=(4,))
    _move(tmp_path / "zz_bad", lambda number: round(number * step, 1))
    assert "slices are missing" in open_(tmp_path).bad["zz_bad"]


def test_steps_that_rounding_does_not_explain_are_refused(tmp_path):
    write(tmp_path / "good", hounsfield(), series="2")
    write(tmp_path / "zz_bad", hounsfield(), series="1")
    _move(tmp_path / "zz_bad", lambda number: 1.03 * number + 0.36 * (number > 3))
    assert "slices are missing" in open_(tmp_path).bad["zz_bad"]


def test_a_tilted_gantry_is_refused(tmp_path):
    write(tmp_path / "good", hounsfield(), series="2")
    write(tmp_path / "zz_bad", hounsfield(), series="1")
    for file in (tmp_path / "zz_bad").iterdir():
        one = pydicom.dcmread(file)
        one.ImageOrientationPatient = [1, 0, 0, 0, float(np.cos(0.2)), -float(np.sin(0.2))]
        one.save_as(file)
    assert "sheared, 11.5 degrees off right angles" in open_(tmp_path).bad["zz_bad"]


def test_the_header_names_one_patient(tmp_path):
    for number in "12":
        write(tmp_path / number, hounsfield(), series=number)
    data = open_(tmp_path)
    assert data.test is None
    assert "2 volumes, 1 patient," in data.describe()


def test_modality_is_what_dicom_says(tmp_path):
    write(tmp_path, hounsfield(), series="1")
    for file in tmp_path.iterdir():
        one = pydicom.dcmread(file)
        one.Modality = "MR"  # whose values may lie below 0
        one.save_as(file)
    assert "scaled as mr" in open_(tmp_path).describe()
