"""Data sets end to end: what is read, what is refused, and how bad files are named, skipped and counted."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from unlabeled.build import trainable
from unlabeled.contract import Batch, Data
from unlabeled.draw import Draw
from unlabeled.errors import UsageError
from unlabeled.probes.splits import split
from unlabeled.training.datamodule import Indices
from unlabeled_vision.batch import ImageBatch, ImageSpec
from unlabeled_vision.data.digits import Digits
from unlabeled_vision.data.images import Images
from unlabeled_vision.views.standard import SimCLR


def _save(path, value, size=(8, 8), channels=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if channels == 3 else (size[1], size[0])
    Image.fromarray(np.full(shape, value, dtype=np.uint8)).save(path)


def _folder(root, count=6, **settings):
    for number in range(count):
        _save(root / f"{number}.png", number, **settings)
    return root


def _values(batch):
    return [int(image[0, 0, 0]) for image in batch.images]


def _truncate(path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-60])


# ---------------------------------------------------------------------------------------------- spec and batch


def test_spec_fills_in_its_normalization():
    assert ImageSpec(3, 8).mean == (0.485, 0.456, 0.406)
    assert ImageSpec(1, 8).std == (0.25,)
    assert ImageSpec(4, 8, mean=(0.1,)).mean == (0.1,) * 4
    assert ImageSpec(2, 8) == ImageSpec(2, 8, (0.5, 0.5), (0.25, 0.25))
    for settings, message in (
        ({"mean": (0.1, 0.2)}, "mean has 2 numbers; it needs 1 or 3"),
        ({"std": (0.0,)}, "std is .*; it must be above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ImageSpec(3, 8, **settings)
    with pytest.raises(ValueError, match="at least 1"):
        ImageSpec(0, 8)


@pytest.mark.parametrize("ragged", [False, True])
def test_batch_is_cut_moved_and_pickled(ragged):
    images = [torch.full((3, 4 + ragged * n, 5), n, dtype=torch.uint8) for n in range(4)]
    batch = ImageBatch(torch.arange(4), images if ragged else torch.stack(images), (("a", "b"),))
    assert isinstance(batch, Batch)
    part = batch[1:3]
    assert len(part) == 2
    assert part.ids.tolist() == [1, 2]
    for other in (batch.to("cpu"), pickle.loads(pickle.dumps(batch))):  # noqa: S301 - of our own making
        assert other.bad == batch.bad
        assert torch.equal(other.ids, batch.ids)
        assert all(torch.equal(a, b) for a, b in zip(other.images, images, strict=True))
    assert len(ImageBatch(torch.arange(0), []).to("cpu")) == 0


# ---------------------------------------------------------------------------------------------- digits


def test_digits():
    from sklearn.datasets import load_digits

    data = Digits(None, size=24)
    assert isinstance(data, Data)
    assert (len(data), data.spec, len(data.classes)) == (1797, ImageSpec(1, 24, mirror=False), 10)
    batch = data.__getitems__([5, 0, 1796])
    expected = load_digits().images[[5, 0, 1796]] / 16
    np.testing.assert_allclose(batch.images[:, 0] / 255, expected, atol=0.5 / 255)
    assert data.labels[batch.ids].tolist() == load_digits().target[[5, 0, 1796]].tolist()
    assert "1,797 images" in data.describe()
    with pytest.raises(ValueError, match="to read photos, give --data images:photos"):
        Digits("photos")


# ---------------------------------------------------------------------------------------------- files


def test_folder(tmp_path):
    data = Images(str(_folder(tmp_path, 12)), 0.0)
    assert isinstance(data, Data)
    assert (len(data), data.spec, data.labels, data.classes, data.test) == (12, ImageSpec(3, 8), None, (), None)
    batch = data.__getitems__([10, 2, 11])
    assert batch.ids.tolist() == [10, 2, 11]
    assert _values(batch) == [10, 2, 11]  # natural order: 10 and 11 come last
    assert batch.images.dtype == torch.uint8
    assert data.describe() == f"{tmp_path}: 12 images, 3 channels, 8 x 8"


@pytest.mark.parametrize("form", ["folder", "zip", "list"])
def test_classes_and_split_in_every_form(tmp_path, form):
    root = tmp_path / "set"
    for number, name in enumerate(("train/cat/1", "train/dog/1", "test/cat/2", "test/dog/2")):
        _save(root / f"{name}.png", number, channels=1)
    path = root
    if form == "zip":
        path = tmp_path / "set.zip"
        with zipfile.ZipFile(path, "w") as file:
            for image in root.rglob("*.png"):
                file.write(image, image.relative_to(tmp_path))
    elif form == "list":
        path = tmp_path / "list.txt"
        path.write_text("".join(f"{p.relative_to(tmp_path)}\n" for p in sorted(root.rglob("*.png"))))
    data = Images(str(path), 0.0)
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0, 1, 0, 1]
    assert data.test.tolist() == [True, True, False, False]  # "test" sorts before "train"
    assert _values(data.__getitems__([0, 1, 2, 3])) == [2, 3, 0, 1]
    assert data.spec.channels == 1
    assert "2 classes (cat, dog), 2 of train, 2 of test held out, 1 channel" in data.describe()


def test_an_image_outside_the_class_folders_has_no_class(tmp_path):
    for name in ("a/1", "b/1", "0"):
        _save(tmp_path / f"{name}.png", 0)
    data = Images(str(tmp_path), 0.0)
    assert data.labels.tolist() == [-1, 0, 1]


def test_size_and_channels(tmp_path):
    _save(tmp_path / "1.png", 1, (300, 260))
    assert Images(str(tmp_path), 0.0).spec.size == 224
    _save(tmp_path / "1.png", 1, (50, 40))
    assert Images(str(tmp_path), 0.0).spec.size == 40
    _save(tmp_path / "2.png", 2, (60, 70), channels=1)
    data = Images(str(tmp_path), 0.0)
    assert data.spec == ImageSpec(3, 48)  # the median shorter side, 60, in steps of 16
    assert "of 2 sizes up to 60 x 70" in data.describe()
    assert Images(str(tmp_path), 0.0, size=17, channels=1, mean=(0.3,)).spec == ImageSpec(1, 17, (0.3,))
    batch = data.__getitems__([0, 1])
    assert [tuple(x.shape) for x in batch.images] == [(3, 40, 50), (3, 70, 60)]
    assert _values(batch) == [1, 2]


def test_large_images_are_reduced(tmp_path):
    _save(tmp_path / "1.png", 7, (400, 300))
    assert Images(str(tmp_path), 0.0, size=32).__getitems__([0]).images.shape[2:] == (75, 100)
    assert Images(str(tmp_path), 0.0, size=32, shrink=0.0).__getitems__([0]).images.shape[2:] == (300, 400)


def test_deep_images_make_a_float_batch(tmp_path):
    Image.fromarray(np.full((4, 4), 65535, dtype=np.uint16)).save(tmp_path / "1.png")
    Image.fromarray(np.full((4, 4), 51, dtype=np.uint8)).save(tmp_path / "2.png")
    data = Images(str(tmp_path), 0.0)
    assert data.spec.channels == 1
    batch = data.__getitems__([0, 1])
    assert batch.images.dtype == torch.float32
    torch.testing.assert_close(batch.images[:, 0, 0, 0], torch.tensor([1.0, 0.2]))


def test_images_are_decoded_once(tmp_path, monkeypatch):
    data = Images(str(_folder(tmp_path)), 0.0)
    first = data.__getitems__(range(6))
    monkeypatch.setattr("unlabeled_vision.data.images.decode", None)
    assert torch.equal(data.__getitems__(range(6)).images, first.images)
    assert torch.equal(data.__getitems__([4, 1]).images, first.images[[4, 1]])
    without = Images(str(tmp_path), 0.0, cache=0)
    with pytest.raises(TypeError):
        without.__getitems__([0])


# ---------------------------------------------------------------------------------------------- bad files


def test_bad_headers_are_skipped_and_counted(tmp_path):
    _folder(tmp_path)
    (tmp_path / "2.png").write_bytes(b"")
    (tmp_path / "4.png").write_bytes(b"text")
    data = Images(str(tmp_path), 0.5)
    assert len(data) == 4
    assert data.bad == {"2.png": "empty file", "4.png": "no image, or a damaged one"}
    assert _values(data.__getitems__([0, 1, 2, 3])) == [0, 1, 3, 5]
    assert "2 unreadable skipped" in data.describe()
    message = r"2 of 6 images cannot be read \(33.3%, and --max-bad allows 0.0%\):\n  2.png: empty file\n  4.png: no"
    with pytest.raises(UsageError, match=message):
        Images(str(tmp_path), 0.0)


@pytest.mark.parametrize("cache", [0, 512])
def test_a_truncated_file_is_left_out(tmp_path, cache):
    _folder(tmp_path)
    _truncate(tmp_path / "3.png")
    _truncate(tmp_path / "5.png")
    data = Images(str(tmp_path), 0.5, cache=cache)
    assert len(data) == 6
    for _ in range(2):
        batch = data.__getitems__([2, 3, 5])
        assert batch.ids.tolist() == [2]
        assert _values(batch) == [2]
        assert [name for name, _ in batch.bad] == ["3.png", "5.png"]
    lines = data.report(batch)
    assert len(lines) == 2
    assert lines[0].startswith("skipped 3.png: image file is truncated")
    assert data.report(batch) == []
    assert "2 unreadable skipped" in data.describe()
    assert len(data.__getitems__([3])) == 0
    training = data.__getitems__(Indices([2, 3, 5], 0, 0))
    assert training.ids.tolist() == _values(training) == [2, 4]


class _Slices:
    """Batches of three for a loader."""

    def __iter__(self):
        return iter(([0, 1, 2], [3, 4, 5]))

    def __len__(self):
        return 2


@pytest.mark.parametrize(("workers", "ragged"), [(0, False), (2, False), (2, True)])
def test_workers_read_and_report(tmp_path, workers, ragged):
    _folder(tmp_path)
    _truncate(tmp_path / "4.png")
    if ragged:
        _save(tmp_path / "0.png", 0, (9, 8))
    data = Images(str(tmp_path), 0.5)
    loader = DataLoader(data, batch_sampler=_Slices(), num_workers=workers, collate_fn=lambda batch: batch)
    batches = list(loader)
    assert [b.ids.tolist() for b in batches] == [[0, 1, 2], [3, 5]]
    assert [_values(b) for b in batches] == [[0, 1, 2], [3, 5]]
    assert isinstance(batches[0].images, list) == ragged
    assert [len(data.report(b)) for b in batches] == [0, 1]
    whole = SimCLR(data.spec)(data.__getitems__([0, 1, 2]), Draw(0, 0, torch.arange(3)))
    part = SimCLR(data.spec)(batches[0], Draw(0, 0, batches[0].ids))
    assert torch.equal(whole[1].batch.images, part[1].batch.images)


def test_a_spawned_worker_decodes_for_itself(tmp_path):
    data = Images(str(_folder(tmp_path)), 0.0)
    other = pickle.loads(pickle.dumps(data))  # noqa: S301 - of our own making
    assert torch.equal(other.__getitems__([3]).images, data.__getitems__([3]).images)


def test_the_limit_of_pixels_is_a_setting(tmp_path):
    Image.fromarray(np.zeros((1200, 1000), np.uint8)).save(tmp_path / "large.png")
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "small.png")
    data = Images(str(tmp_path), 0.5, megapixels=1.0)
    assert "1000 x 1200 pixels: refused as a decompression bomb; --data.megapixels" in data.bad["large.png"]
    for limit in (1.2, 0):
        assert Images(str(tmp_path), 0.0, megapixels=limit).__getitems__([0]).ids.tolist() == [0]


# ---------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
def test_arrays(tmp_path, kind, channels):
    shape = (5, 6, 7, channels) if channels else (5, 6, 7)
    unit = np.random.default_rng(0).random(shape)
    most = {"uint8": 255, "uint16": 65535}.get(kind, 1)
    x = (unit * most).astype(kind)
    np.savez(tmp_path / "a.npz", x=x, y=np.array(["b", "a", "b", "a", "c"]))
    data = Images(str(tmp_path / "a.npz"), 0.0)
    assert data.spec == ImageSpec(max(1, channels), 6)
    assert data.classes == ("a", "b", "c")
    assert data.labels.tolist() == [1, 0, 1, 0, 2]
    batch = data.__getitems__([4, 1])
    assert batch.images.dtype == (torch.uint8 if kind == "uint8" else torch.float32)
    found = batch.images.double() / (255 if kind == "uint8" else 1)
    expected = (x[[4, 1]] / most).reshape(2, 6, 7, -1).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_gray_arrays_become_color_where_asked(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.full((2, 4, 4), 9, dtype=np.uint8))
    data = Images(str(tmp_path / "a.npz"), 0.0, channels=3)
    assert data.__getitems__([0]).images.shape == (1, 3, 4, 4)
    assert data.labels is None
    assert "2 images, 3 channels, 4 x 4" in data.describe()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((2, 4, 4))}, "has images; it must have x"),
        ({}, "has nothing; it must have x"),
        ({"x": np.zeros((2, 4))}, r"x has shape \[2, 4\]"),
        ({"x": np.zeros((2, 3, 8, 8))}, r"x has shape \[2, 3, 8, 8\]; it must be \[N, H, W\] or \[N, H, W, C\]"),
        ({"x": np.zeros((0, 4, 4))}, "x has shape"),
        ({"x": np.zeros((2, 4, 4), dtype=np.int64)}, "x is int64"),
        ({"x": np.full((2, 4, 4), 200.0)}, "floats from 200 to 200"),
        ({"x": np.full((2, 4, 4), np.nan)}, "floats from nan"),
        ({"x": np.zeros((2, 4, 4)), "y": np.zeros(3)}, r"y has shape \[3\]; it must be \[2\]"),
        ({"x": np.array([{}, {}])}, "cannot be read as an .npz of plain arrays"),
    ],
)
def test_array_mistakes(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UsageError, match=message):
        Images(str(tmp_path / "a.npz"), 0.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 5}, "channels is 5; it must be 0"),
        ({"size": -1}, "size -1"),
        ({"shrink": 0.5}, "shrink is 0.5; it must be 0 or at least 1"),
        ({"white": 0}, "white 0"),
        ({"mean": (0.1, 0.2)}, "mean has 2 numbers"),
    ],
)
def test_bad_settings(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        Images(str(_folder(tmp_path, 1)), 0.0, **settings)


def test_what_lies_beside_train_and_test_is_trained_without_a_class(tmp_path):
    for name in ("train/cat/0", "train/dog/1", "test/cat/2", "dev/dog/3", "unlabeled/4", "logo"):
        _save(tmp_path / f"{name}.png", 9)
    data = Images(str(tmp_path), 0.0)
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist().count(-1) == 2
    assert int(data.test.sum()) == 1
    assert int(data.val.sum()) == 1
    assert "1 of val kept apart" in data.describe()
    assert trainable(data).tolist() == torch.nonzero(~(data.test | data.val))[:, 0].tolist()
    train, test = split(data, torch.arange(len(data)), 0)
    assert len(train) == 4
    assert data.test[test].all()


def test_further_formats_are_read_or_named(tmp_path):
    names = ("0.jif", "1.JPE", "2.gif", "3.pgm", "4.j2k", "5.avif")
    for name, form in zip(names, ("JPEG", "JPEG", "GIF", "PPM", "JPEG2000", "AVIF"), strict=True):
        Image.fromarray(np.full((8, 8), 50, "u1")).save(tmp_path / name, format=form)
    for name in ("6.HEIF", "7.jxl"):
        (tmp_path / name).write_bytes(b"none of these")
    data = Images(str(tmp_path), 0.5)
    assert len(data) == 6
    assert list(data.bad) == ["6.HEIF", "7.jxl"]
    assert "2 unreadable" in data.describe()
    assert all(abs(v - 50) < 4 for v in _values(data.__getitems__(range(6))))


@pytest.mark.parametrize("form", ["tif", "gif", "webp", "png"])
def test_pages_after_the_first_are_said(tmp_path, form):
    frames = [Image.fromarray(np.full((8, 8, 3), 30 * n, "u1")) for n in range(3)]
    frames[0].save(tmp_path / f"a.{form}", save_all=True, append_images=frames[1:])
    _save(tmp_path / "b.png", 1)
    assert "only the first page of 1 with 3 pages or frames" in Images(str(tmp_path), 0.0).describe()


def test_a_manifest_names_images_and_what_is_known_of_them(tmp_path):
    for number in range(4):
        _save(tmp_path / "in" / f"{number}.png", number, channels=1)
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    rows = ["in/0.png,cat,1.5,p1,train", f"{tmp_path}/in/1.png,dog,,p1,train", "in/broken.png,cat,1,p2,test"]
    rows += ["in/0.png,,2,p3,val", "in/3.png,cat,4,p2,test"]
    (tmp_path / "m.csv").write_text("image,label,price,patient,split\n" + "\n".join(rows) + "\n")
    data = Images(str(tmp_path / "m.csv"), 0.9, target="price")
    assert data.names == ["in/0.png", f"{tmp_path}/in/1.png", "in/0.png", "in/3.png"], "a file may be two samples"
    assert list(data.bad) == ["in/broken.png"]
    assert (data.labels.tolist(), data.classes) == ([0, 1, -1, 0], ("cat", "dog"))
    assert (data.test.tolist(), data.val.tolist()) == ([False] * 3 + [True], [False, False, True, False])
    assert data.groups == ("p1", "p1", "p3", "p2")
    assert data.targets.values[:, 0].nan_to_num(-1).tolist() == [1.5, -1, 2, 4]
    assert _values(data.__getitems__([0, 1, 2, 3])) == [0, 1, 0, 3]
    assert "2 classes (cat, dog), 1 target (price), 2 of train, 1 of test held out" in data.describe()


def test_columns_are_asked_of_manifests_alone(tmp_path):
    _save(tmp_path / "0.png", 0, channels=1)
    with pytest.raises(UsageError, match=r"is no manifest, so it has no column 'kind': leave --data\.label out"):
        Images(str(tmp_path), 0.0, label="kind")
