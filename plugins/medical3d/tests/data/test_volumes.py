"""A user's files: what is read alike, and what is named and passed over."""

import gzip
import io
import os
import pickle
import tracemalloc
import zipfile

import nibabel as nib
import numpy as np
import pytest
import torch

from unlabeled.build import build
from unlabeled.config.run import merge, resolve
from unlabeled.errors import UsageError
from unlabeled.training.datamodule import Indices
from unlabeled_medical3d.data.volumes import Volumes, patient_split

SHAPE, MM = (20, 24, 18), (1.0, 1.5, 2.0)


def image(seed=0, shape=SHAPE):
    x = np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)
    x[4:-4, 4:-4, 4:-4] += 400
    return x


def save(path, x, mm=MM, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(x, np.diag([*mm, 1.0]) if affine is None else affine), path)


def open_(path, max_bad=0.5, **settings):
    return Volumes(str(path), max_bad, **{"cache": "none", **settings})


@pytest.fixture
def folder(tmp_path):
    for n in range(4):
        save(tmp_path / "scans" / f"case{n}.nii.gz", image(n))
    return tmp_path / "scans"


def test_a_folder_is_read_at_its_own_spacing_and_size(folder):
    data = open_(folder)
    assert len(data) == 4
    assert data.spec.spacing == MM
    assert data.spec.size == (16, 32, 16)  # the median volume in steps of 16
    assert (data.labels, data.test, data.regions, data.classes) == (None, None, (), ())
    batch = data.__getitems__([2, 0])
    assert batch.images.shape == (2, 1, *SHAPE)
    assert batch.ids.tolist() == [2, 0]
    assert abs(float(batch.images[0, 0, 4:-4, 4:-4, 4:-4].mean())) < 0.2  # z-scored over the foreground
    again = pickle.loads(pickle.dumps(data)).__getitems__([2])  # noqa: S301 - as a worker gets it
    assert torch.equal(again.images, batch.images[:1])


def test_a_rotated_anisotropic_copy_gives_the_same_volume(folder, tmp_path):
    x = image(0)
    save(tmp_path / "plain" / "a.nii.gz", x)
    turned = np.flip(x.transpose(2, 0, 1), 1)  # axes S, L, A
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = MM[2], -MM[0], MM[1], 1
    affine[0, 3] = MM[0] * (SHAPE[0] - 1)
    save(tmp_path / "turned" / "a.nii.gz", np.ascontiguousarray(turned), affine=affine)
    plain = open_(tmp_path / "plain", spacing=(2.0, 2.0, 2.0)).__getitems__([0])
    other = open_(tmp_path / "turned", spacing=(2.0, 2.0, 2.0)).__getitems__([0])
    torch.testing.assert_close(other.images, plain.images, atol=1e-4, rtol=0)
    torch.testing.assert_close(other.affine, plain.affine)
    assert plain.images.shape[2:] == (11, 18, 18)


@pytest.mark.parametrize("kind", [">i2", "<u2", ">f4", "<f8", "u4"])
def test_voxels_of_any_type_and_byte_order_are_read(tmp_path, kind):
    x = np.round(image())
    header = nib.Nifti1Header(endianness=">" if kind[0] == ">" else "<")
    header.set_data_dtype(np.dtype(kind))
    header.set_slope_inter(1, 0)
    (tmp_path / "kind").mkdir()
    nib.save(nib.Nifti1Image(x.astype(kind), np.diag([*MM, 1.0]), header), tmp_path / "kind" / "a.nii.gz")
    save(tmp_path / "plain" / "a.nii.gz", x)
    found, plain = open_(tmp_path / "kind").__getitems__([0]), open_(tmp_path / "plain").__getitems__([0])
    torch.testing.assert_close(found.images, plain.images, atol=1e-4, rtol=0)


def test_sizes_are_taken_in_mm(folder):
    data = open_(folder, size_mm=(32.0,), spacing=(1.0, 2.0, 4.0))
    assert data.spec.size == (32, 16, 8)
    with pytest.raises(ValueError, match="one is enough"):
        open_(folder, size=(16,), size_mm=(32.0,))


def test_a_zip_gives_what_the_folder_gives(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"top/{path.name}")
    one, two = open_(folder).__getitems__([1]), open_(tmp_path / "all.zip").__getitems__([1])
    assert torch.equal(one.images, two.images)


def test_labels_classes_and_sides_come_from_folders(tmp_path):
    for side in ("train", "test"):
        for kind in ("benign", "malignant"):
            save(tmp_path / side / kind / "a.nii.gz", image())
    data = open_(tmp_path)
    assert data.classes == ("benign", "malignant")
    assert data.labels.tolist() == [0, 1, 0, 1]
    assert data.test.tolist() == [True, True, False, False]


def test_a_folder_of_val_is_kept_apart_from_test(tmp_path):
    for side in ("train", "Valid", "test", "unlabeled"):
        save(tmp_path / "top" / side / "images" / "a.nii.gz", image())
    data = open_(tmp_path)
    assert [name for name, val in zip(data.names, data.val.tolist()) if val] == ["top/Valid/images/a"]
    assert [name for name, test in zip(data.names, data.test.tolist()) if test] == ["top/test/images/a"]


def test_the_test_of_a_decathlon_is_held_out_where_it_has_labels(tmp_path):
    for name in ("imagesTr/a", "imagesTr/b", "imagesTs/c"):
        save(tmp_path / f"{name}.nii.gz", image())
    save(tmp_path / "labelsTr" / "a.nii.gz", (image() > 300).astype(np.uint8))
    assert open_(tmp_path).test is None
    save(tmp_path / "labelsTs" / "c.nii.gz", (image() > 300).astype(np.uint8))
    assert open_(tmp_path).test.tolist() == [False, False, True]


def test_folders_of_patients_are_no_classes(tmp_path):
    for number in range(4):
        for kind in ("t1", "t2"):
            save(tmp_path / "all" / f"BraTS_{number}" / f"BraTS_{number}_{kind}.nii.gz", image(number, (8, 8, 8)))
    data = open_(tmp_path)
    assert (data.classes, len(set(data.patients)), int(data.test.sum())) == ((), 4, 2)
    for number in range(9):
        for kind in ("benign", "malignant"):
            save(tmp_path / "classes" / kind / f"{kind}_{number}.nii.gz", image(number, (8, 8, 8)))
    found = open_(tmp_path / "classes")
    assert (found.classes, found.test, len(set(found.patients))) == (("benign", "malignant"), None, 18)


def test_classes_that_are_none_are_asked_about(tmp_path):
    for number in range(3):
        save(tmp_path / f"case{number}" / "scan.nii.gz", image(number, (8, 8, 8)))
    config = resolve({"data": {"name": "volumes", "path": str(tmp_path), "cache": "none"}}, "medical3d")
    with pytest.raises(UsageError, match=r"3 classes of 3 labeled samples.*Are these classes"):
        build(config)
    none = resolve(merge(config.to_dict(), {"data": {"classes": "none"}}), "medical3d")
    assert build(none).data.labels is None


def test_voxel_labels_lie_beside_images(tmp_path):
    x = image()
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[5:9, 5:9, 5:9], mask[10:12, 5:9, 5:9] = 1, 2
    save(tmp_path / "imagesTr" / "a.nii.gz", x)
    save(tmp_path / "labelsTr" / "a.nii.gz", mask)
    save(tmp_path / "imagesTr" / "b.nii.gz", x)
    data = open_(tmp_path, spacing=(1.0,))
    assert len(data) == 2
    assert data.regions == ("background", "region 1", "region 2")
    found = data.masks([0])[0]
    assert found.shape == data.__getitems__([0]).images.shape[2:]
    assert found[5:9, 8:12, 10:16].unique().tolist() == [1]  # at 1.5 and 2 mm, before
    with pytest.raises(ValueError, match="b has no voxel labels"):
        data.masks([1])
    (tmp_path / "dataset.json").write_text('{"labels": {"0": "nothing", "1": "head", "2": "tail"}}')
    assert open_(tmp_path).regions == ("nothing", "head", "tail")


def test_channels_come_from_files_or_from_the_last_axis(tmp_path):
    for case in ("p", "q"):
        for channel in range(2):
            save(tmp_path / "files" / f"{case}_{channel:04d}.nii.gz", image(channel))
    data = open_(tmp_path / "files")
    assert data.spec.channels == 2
    assert len(data) == 2
    save(tmp_path / "axis" / "p.nii.gz", np.stack([image(0), image(1)], -1))
    other = open_(tmp_path / "axis", channels=2)
    torch.testing.assert_close(other.__getitems__([0]).images, data.__getitems__([0]).images)
    with pytest.raises(UsageError, match=r"4 dimensions.*--data.channels 2"):
        open_(tmp_path / "axis")


def test_numbered_cases_are_no_channels(tmp_path):
    for n in range(3):
        save(tmp_path / f"case_{n:04d}.nii.gz", image(n))
    assert len(open_(tmp_path)) == 3


def test_a_manifest_says_what_is_known(folder, tmp_path):
    rows = "id,split,label,patient,modality\ncase0,train,a,p1,ct\ncase1,train,b,p1,\ncase3,test,a,p2,mr\n"
    (tmp_path / "known.csv").write_text(rows)
    data = open_(folder, manifest=str(tmp_path / "known.csv"))
    assert len(data) == 3
    assert data.test.tolist() == [False, False, True]
    assert data.labels.tolist() == [0, 1, 0]
    assert data.patients == ("p1", "p1", "p2")
    assert float(data.__getitems__([0]).images.max()) <= 1  # CT: a window
    assert float(data.__getitems__([2]).images.max()) > 1


def test_a_manifest_may_name_the_files(folder, tmp_path):
    (tmp_path / "list.csv").write_text("image,label\nscans/case2.nii.gz,x\nscans/case0.nii.gz,y\n")
    data = open_(tmp_path / "list.csv")
    assert data.labels.tolist() == [0, 1]
    torch.testing.assert_close(data.__getitems__([1]).images, open_(folder).__getitems__([0]).images)
    (tmp_path / "wrong.csv").write_text("niftis\na\n")
    with pytest.raises(UsageError, match=r"has columns niftis;.*--data.column, or call it one of image, path"):
        open_(tmp_path / "wrong.csv")
    assert len(open_(tmp_path / "list.csv", column="image", label="none").classes) == 0


def test_a_manifest_of_any_format_names_targets_groups_folds_and_sides(folder, tmp_path):
    lines = [
        ("path", "grade", "age", "findings", "subject_id", "fold", "split"),
        (f"{folder}/case0.nii.gz", "2", "41.5", "cyst|bleed", "a", "1", "train"),
        ("scans/case1.nii.gz", "1", "", "", "a", "2", "train"),
        ("scans\\case2.nii.gz", "", "60", "cyst", "b", "", "dev"),
        ("scans/case3.nii.gz", "2", "33", "bleed", "c", "", "test"),
    ]
    (tmp_path / "m.tsv").write_text("\n".join("\t".join(line) for line in lines))
    data = open_(tmp_path / "m.tsv", label="grade", target="age")
    assert (data.classes, data.labels.tolist()) == (("1", "2"), [1, 0, -1, 1])
    assert data.targets.values[:, 0].nan_to_num(-1).tolist() == [41.5, -1, 60, 33]
    assert (data.targets.names, data.targets.kind, data.groups) == (("age",), "regression", ("a", "a", "b", "c"))
    assert (data.folds.tolist(), data.val.tolist()) == ([0, 1, -1, -1], [False, False, True, False])
    assert data.test.tolist() == [False, False, False, True]
    assert len(data.__getitems__(range(4))) == 4
    several = open_(tmp_path / "m.tsv", labels="findings").targets
    assert (several.kind, several.names) == ("multilabel", ("bleed", "cyst"))
    assert several.values.nan_to_num(-1).tolist() == [[1, 1], [-1, -1], [0, 1], [1, 0]]


def test_what_a_manifest_knows_follows_what_can_be_read(folder, tmp_path):
    (folder / "case1.nii.gz").write_bytes(b"")
    (tmp_path / "m.csv").write_text("image,label\n" + "".join(f"scans/case{n}.nii.gz,{'abab'[n]}\n" for n in range(4)))
    data = open_(tmp_path / "m.csv")
    assert (data.names, data.labels.tolist()) == ([f"scans/case{n}.nii.gz" for n in (0, 2, 3)], [0, 0, 1])


def test_a_ragged_line_is_refused_by_its_number(folder, tmp_path):
    (tmp_path / "m.csv").write_text("image,label\nscans/case0.nii.gz,a\nscans/case1.nii.gz,b,c\n")
    with pytest.raises(UsageError, match=r"m.csv, line 3 has 3 fields"):
        open_(tmp_path / "m.csv")
    (tmp_path / "known.csv").write_text("id,modality\ncase0,ct\ncase1,xray\n")
    with pytest.raises(UsageError, match=r"known.csv, line 3: modality is 'xray'"):
        open_(folder, manifest=str(tmp_path / "known.csv"))
    (tmp_path / "known.csv").write_text("id,label\ncase0,a\ncase0.nii.gz,b\n")
    with pytest.raises(UsageError, match=r"known.csv, line 3: case0.nii.gz stands there a second time"):
        open_(folder, manifest=str(tmp_path / "known.csv"))
    with pytest.raises(UsageError, match=r"is no manifest, so it has no column 'x': leave --data.label out"):
        open_(folder, label="x")


def test_the_modality_that_the_user_says_is_taken(folder, tmp_path):
    (tmp_path / "known.csv").write_text("id,modality\n" + "".join(f"case{n},MRI\n" for n in range(4)))
    assert "scaled as mr" in open_(folder, manifest=str(tmp_path / "known.csv")).describe()
    assert "scaled as ct" in open_(folder, manifest=str(tmp_path / "known.csv"), modality="ct").describe()


def test_npz_of_medmnist_and_plain(tmp_path):
    x = (np.random.default_rng(0).random((6, 16, 16, 16)) > 0.7).astype(np.uint8) * 255
    named = {f"{p}_images": x[n : n + 2] for n, p in ((0, "train"), (2, "val"), (4, "test"))}
    named |= {f"{p}_labels": np.array([[0], [1]]) for p in ("train", "val", "test")}
    np.savez_compressed(tmp_path / "m.npz", **named)
    data = open_(tmp_path / "m.npz")
    assert data.test.tolist() == [False] * 4 + [True] * 2
    assert data.val.tolist() == [False] * 2 + [True] * 2 + [False] * 2
    assert data.labels.tolist() == [0, 1] * 3
    assert data.__getitems__([3]).images.unique().tolist() == [-1.0, 1.0]
    np.savez(tmp_path / "p.npz", x=np.random.default_rng(0).random((3, 2, 12, 12, 12)), spacing=[1.0, 1.0, 3.0])
    plain = open_(tmp_path / "p.npz")
    assert (plain.spec.channels, plain.spec.spacing) == (2, (1.0, 1.0, 3.0))
    np.savez(tmp_path / "w.npz", pictures=x)
    with pytest.raises(UsageError, match=r"pictures\[6, 16, 16, 16\].*it must have x"):
        open_(tmp_path / "w.npz")


# ------------------------------------------------------------------------------------------------- what is wrong


def _cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def _spoil(path, x=None, **kwargs):
    save(path, image() if x is None else x, **kwargs)


BAD_HEADERS = {
    "slice": (lambda p: _spoil(p, image(shape=(20, 24, 1))), "a slice, not a volume"),
    "flat": (lambda p: _spoil(p, image()[0]), "a slice, not a volume"),
    "four": (lambda p: _spoil(p, np.stack([image()] * 3, -1)), "4 dimensions, 20 x 24 x 18 x 3"),
    "singular": (lambda p: _spoil(p, affine=np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])),
                 "singular"),
    "garbage": (lambda p: p.write_bytes(gzip.compress(b"no volume at all" * 99)), "no NIfTI file"),
    "empty": (lambda p: p.write_bytes(b""), "no NIfTI file"),
}  # fmt: skip
BAD_VOXELS = {
    "nan": (lambda p: _spoil(p, np.where(image() > 550, np.nan, image())), "not finite"),
    "constant": (lambda p: _spoil(p, np.full(SHAPE, 7.0, dtype=np.float32)), "constant, 7 everywhere"),
    "truncated": (lambda p: (_spoil(p), _cut(p)), "cut off or damaged"),
}


@pytest.mark.parametrize("kind", BAD_HEADERS)
def test_what_the_header_tells_is_named_at_once(folder, kind):
    spoil, reason = BAD_HEADERS[kind]
    spoil(folder / "zz_bad.nii.gz")
    data = open_(folder)
    assert len(data) == 4
    assert reason in data.bad["zz_bad"]
    assert "1 unusable skipped" in data.describe()
    with pytest.raises(UsageError, match=r"1 of 5 volumes cannot be read \(20.0%"):
        open_(folder, max_bad=0.0)


@pytest.mark.parametrize("kind", BAD_VOXELS)
def test_what_the_voxels_tell_is_named_when_they_are_read(folder, kind):
    spoil, reason = BAD_VOXELS[kind]
    spoil(folder / "case1.nii.gz")
    data = open_(folder)
    assert len(data) == 4
    batch = data.__getitems__([0, 1])
    assert batch.ids.tolist() == [0]
    assert data.__getitems__(Indices([0, 1], 0, 0)).ids.tolist() == [0, 2], "in training another stands in"
    assert len(data.__getitems__([1])) == 0
    ((name, why),) = batch.bad
    assert name == "case1"
    assert reason in why
    assert data.report(batch) == [f"skipped case1: {why}"]


def test_bytes_that_are_claimed_take_no_memory(tmp_path):
    save(tmp_path / "a.nii", image())
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[42:48] = np.array([20000] * 3, "<i2").tobytes()
    (tmp_path / "b.nii").write_bytes(data)
    found = open_(tmp_path, 0.9)
    tracemalloc.start()
    batch = found.__getitems__([0, 1])
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
    assert dict(batch.bad)["b"].startswith("its voxels cannot be read: the header claims 32,000,000,000,000")


def test_arrays_that_claim_more_than_they_hold_take_no_memory(tmp_path):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (9, 4000, 4000, 4000)})
    for name, body in (("short", bytes(64)), ("bomb", bytes(1 << 22))):
        with zipfile.ZipFile(tmp_path / f"{name}.npz", "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("x.npy", head.getvalue() + body)
        with pytest.raises(UsageError, match=r"cannot be read as .npz: x.npy claims"):
            open_(tmp_path / f"{name}.npz")


def test_pipes_are_not_waited_for(folder, tmp_path):
    for name in ("scans/zz.nii.gz", "scans/dataset.json", "known.csv"):
        os.mkfifo(tmp_path / name)
    data = open_(folder)
    assert (len(data), data.bad) == (4, {"zz": "not a file"})
    with pytest.raises(UsageError, match=r"--data.manifest .*known.csv is no table"):
        open_(folder, manifest=str(tmp_path / "known.csv"))


def test_labels_of_another_grid_are_refused(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / "images" / f"{name}.nii.gz", image())
        save(tmp_path / "labels" / f"{name}.nii.gz", (image() > 300).astype(np.uint8))
    save(tmp_path / "labels" / "b.nii.gz", np.zeros((20, 24, 17), dtype=np.uint8))
    assert "labels/b.nii.gz has (20, 24, 17) voxels" in open_(tmp_path).bad["images/b"]
    save(tmp_path / "labels" / "b.nii.gz", (image() > 300).astype(np.uint8), mm=(1.0, 1.5, 2.5))
    assert "lies elsewhere" in open_(tmp_path).bad["images/b"]


def test_paths_that_hold_nothing_are_named(tmp_path):
    for path, reason in (("missing", "does not exist"), ("", "has no volumes")):
        with pytest.raises(UsageError, match=reason):
            open_(tmp_path / path)
    (tmp_path / "notes.txt").write_text("no volume")
    with pytest.raises(UsageError, match="no volume data"):
        open_(tmp_path / "notes.txt")


# ------------------------------------------------------------------------------------------------- patients


def test_a_patient_is_never_on_both_sides(tmp_path):
    for patient in range(10):
        for visit in range(3):
            save(tmp_path / f"sub-{patient:02d}" / f"ses-{visit}.nii.gz", image(patient, (8, 8, 8)))
    data = open_(tmp_path)
    assert len(set(data.patients)) == 10
    held = {p for p, side in zip(data.patients, data.test.tolist()) if side}
    kept = {p for p, side in zip(data.patients, data.test.tolist()) if not side}
    assert held
    assert not held & kept
    assert torch.equal(data.test, open_(tmp_path).test)


@pytest.mark.parametrize("other", ["test", "val"])
def test_a_split_that_tears_a_patient_apart_is_refused(folder, tmp_path, other):
    lines = [f"scans/case{n}.nii.gz,{p},{s}" for n, (p, s) in enumerate(zip("pqpr", ("train", "test", other, "train")))]
    (tmp_path / "m.csv").write_text("\n".join(["image,patient,split", *lines]))
    with pytest.raises(UsageError, match=r"patient p has volumes on several sides.*--data.group none"):
        open_(tmp_path / "m.csv")
    assert open_(tmp_path / "m.csv", group="none").test.sum() == (2 if other == "test" else 1)


def test_folds_are_a_split_that_holds_nobody_out(folder, tmp_path):
    rows = "".join(f"scans/case{n}.nii.gz,{n % 2},p{n % 2}\n" for n in range(4))
    (tmp_path / "m.csv").write_text("image,fold,patient\n" + rows)
    data = open_(tmp_path / "m.csv")
    assert (data.test, data.folds.tolist()) == (None, [0, 1, 0, 1])


def test_one_patient_alone_is_not_held_out():
    assert patient_split(["p", "p"]) is None
    assert patient_split(["p", "q"]) is None
    assert patient_split(["p", "p", "q"]).sum() in (1, 2)


# ------------------------------------------------------------------------------------------------- what is what


def test_a_sheared_affine_is_refused(folder):
    affine = np.diag([*MM, 1.0])
    affine[1, 2] = 0.5
    save(folder / "zz_bad.nii.gz", image(), affine=affine)
    assert "sheared" in open_(folder).bad["zz_bad"]


def test_background_of_nan_is_background(tmp_path):
    x = image()
    save(tmp_path / "plain" / "a.nii.gz", np.where(x < 300, x.min(), x))
    save(tmp_path / "nan" / "a.nii.gz", np.where(x < 300, np.nan, x))
    x[10, 10, 9] = np.nan  # inside the body: damaged
    save(tmp_path / "hole" / "a.nii.gz", x)
    found, plain = (open_(tmp_path / name).__getitems__([0]).images for name in ("nan", "plain"))
    assert torch.isfinite(found).all()
    assert float(found[0, 0, 0, 0, 0]) < float(found[0, 0, 10, 10, 9])
    assert found[0, 0, 0, 0, 0] == found.min()
    assert found.shape == plain.shape
    assert "not finite" in open_(tmp_path / "hole").__getitems__([0]).bad[0][1]


def test_volumes_of_two_modalities_are_scaled_each_by_its_own(tmp_path):
    save(tmp_path / "both" / "a_ct.nii.gz", image() * 2 - 1000)
    save(tmp_path / "both" / "b_mr.nii.gz", image(1))
    save(tmp_path / "alone" / "b_mr.nii.gz", image(1))
    both = open_(tmp_path / "both")
    assert torch.equal(both.__getitems__([1]).images, open_(tmp_path / "alone").__getitems__([0]).images)
    assert both.__getitems__([0]).images.abs().max() <= 1
    assert "scaled volume by volume, of 2: 1 ct, 1 mr" in both.describe()
    assert "scaled as mr" in open_(tmp_path / "alone").describe()


@pytest.mark.parametrize("ending", ["_seg", "_mask", "_label", "-segmentation"])
def test_labels_beside_their_image_are_no_images(tmp_path, ending):
    mask = (image() > 300).astype(np.uint8)
    save(tmp_path / "p1_t1.nii.gz", image())
    save(tmp_path / f"p1{ending}.nii.gz", mask)
    save(tmp_path / "p2.nii.gz", image(1))
    save(tmp_path / f"p2{ending}.nii.gz", mask)
    save(tmp_path / "p3_pred.nii.gz", mask)
    save(tmp_path / "p4.nii.gz", image(2))
    data = open_(tmp_path)
    assert list(data._reader.names) == ["p1_t1", "p2", "p4"]
    assert [data.has_mask(n) for n in range(3)] == [True, True, False]
    assert "1 without voxel labels" in data.describe()
    assert "1 label file passed over (p3_pred.nii.gz)" in data.describe()


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_whole_numbers_of_a_few_are_labels(folder, kind):
    save(folder / "zz.nii.gz", ((image() > 300).astype(kind) + (image() > 500)).astype(kind))
    ((name, reason),) = open_(folder).__getitems__([4]).bad
    assert name == "zz"
    assert "3 whole numbers alone, 0 to 2: voxel labels" in reason
    assert len(open_(folder, modality="shape").__getitems__([4])) == 1


def test_masks_of_0_and_255_are_one_region(tmp_path):
    save(tmp_path / "a.nii.gz", image())
    save(tmp_path / "a_mask.nii.gz", (image() > 300).astype(np.uint8) * 255)
    data = open_(tmp_path)
    assert data.regions == ("background", "region 1")
    assert data.masks([0])[0].unique().tolist() == [0, 1]


def test_masks_may_be_named_by_an_absolute_path(tmp_path):
    save(tmp_path / "scans" / "a.nii.gz", image())
    save(tmp_path / "elsewhere" / "m.nii.gz", (image() > 300).astype(np.uint8))
    (tmp_path / "scans" / "list.csv").write_text(f"image,mask\na.nii.gz,{tmp_path}/elsewhere/m.nii.gz\n")
    data = open_(tmp_path / "scans" / "list.csv")
    assert data.masks([0])[0].max() == 1


def test_masks_that_are_no_file_are_counted(folder, tmp_path):
    save(tmp_path / "m" / "case0.nii.gz", (image() > 300).astype(np.uint8))
    (tmp_path / "list.csv").write_text(
        "image,voxels\nscans/case0.nii.gz,m/case0.nii.gz\nscans/case1.nii.gz,m/case1.nii.gz\nscans/case2.nii.gz,\n"
    )
    data = open_(tmp_path / "list.csv", mask="voxels")
    assert [data.has_mask(n) for n in range(3)] == [True, False, False]
    assert "2 without voxel labels" in data.describe()
    assert "1 missing mask (m/case1.nii.gz)" in data.describe()
    (tmp_path / "list.csv").write_text("image,mask\nscans/case0.nii.gz,n/case0.nii.gz\n")
    with pytest.raises(UsageError, match=r"none of the 1 masks is a file, n/case0.nii.gz the first"):
        open_(tmp_path / "list.csv")


def test_an_mr_of_constant_foreground_is_refused(folder):
    x = np.zeros(SHAPE, dtype=np.float32)
    x[4:-4, 4:-4, 4:-4] = 500.0
    x[5, 5, 5] += 1e-2
    save(folder / "zz.nii.gz", x)
    assert "foreground is constant, 500" in open_(folder).__getitems__([4]).bad[0][1]
