"""Names, order and labels of files, and the mistakes that a path can be."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from unlabeled.data.files import natural
from unlabeled.errors import UsageError
from unlabeled_vision.data.sources import Archive, FileError, by_folder, is_image, open_source, read


def test_natural_order():
    names = ["b/1.png", "a10.png", "a2.png", "A3.png", "a02.png", "10.png", "9.png"]
    assert natural(names) == ["9.png", "10.png", "a02.png", "a2.png", "A3.png", "a10.png", "b/1.png"]
    assert natural(reversed(natural(names))) == natural(names)


def test_what_is_an_image():
    for name in ("a.png", "a.JPG", "x/b.jpeg", "c.webp", "d.bmp", "e.TIF", "f.tiff", "./a.png", "../a.png"):
        assert is_image(name), name
    for name in (".a.png", "x/.hidden/a.png", "__MACOSX/a.png", "a.gif", "a.txt", "png", "a.png.part", ""):
        assert not is_image(name), name


def test_folder_with_links(tmp_path):
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name in ("2.png", "10.png", "sub/1.png", ".3.png", "note.txt"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    os.symlink(tmp_path / "photos" / "2.png", tmp_path / "photos" / "3.png")
    os.symlink(tmp_path / "photos", tmp_path / "photos" / "sub" / "loop")
    source = open_source(tmp_path / "photos")
    assert source.names == ["2.png", "3.png", "10.png", "sub/1.png"]
    assert read(source, "3.png") == b"x"


def test_list_of_paths_keeps_its_order(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.png").write_bytes(b"b")
    (tmp_path / "in" / "a.png").write_bytes(b"a")
    lines = f"# two files\nin/b.png\n\n{tmp_path}/in/a.png\nin/missing.png\nin\n"
    (tmp_path / "list.txt").write_text(lines)
    source = open_source(tmp_path / "list.txt")
    assert [read(source, name) for name in source.names[:2]] == [b"b", b"a"]
    for name, reason in ((source.names[2], "no such file"), (source.names[3], "not a file")):
        with pytest.raises(FileError, match=reason):
            read(source, name)


def test_archive_and_its_damage(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/2.png", b"second")
        file.writestr("a/1.png", b"first" * 100)
        file.writestr("a/0.png", b"")
        file.writestr("__MACOSX/a/1.png", b"no")
        file.writestr("../up.png", b"harmless")
        file.writestr("bomb.png", b"\0" * 3_000_000, zipfile.ZIP_DEFLATED)
    source = open_source(path)
    assert source.names == ["../up.png", "a/0.png", "a/1.png", "a/2.png", "bomb.png"]
    assert read(source, "a/2.png") == b"second"
    assert read(source, "../up.png") == b"harmless"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.zip"]
    with pytest.raises(FileError, match="empty file"):
        read(source, "a/0.png")
    path.write_bytes(path.read_bytes().replace(b"first", b"worst", 1))
    with pytest.raises(FileError, match="CRC"):
        read(open_source(path), "a/1.png")


def test_archive_bomb(tmp_path, monkeypatch):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", b"\0" * 100_000)
    monkeypatch.setattr("unlabeled_vision.data.sources.MAX_RATIO", 100)
    with pytest.raises(FileError, match="decompression bomb"):
        read(Archive(path), "a.png")
    monkeypatch.setattr("unlabeled_vision.data.sources.MAX_RATIO", 1100)
    monkeypatch.setattr("unlabeled_vision.data.sources.MAX_BYTES", 1000)
    with pytest.raises(FileError, match="MiB"):
        read(Archive(path), "a.png")


def test_archive_opens_anew_in_another_process(tmp_path, monkeypatch):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.png", b"a")
    source = Archive(path)
    mine = source.file
    assert source.file is mine
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert source.file is not mine


@pytest.mark.parametrize(
    ("names", "classes", "test"),
    [
        (["1.png", "2.png"], [None, None], None),
        (["cat/1.png", "dog/2.png"], ["cat", "dog"], None),
        (["root/cat/1.png", "root/dog/x/2.png"], ["cat", "dog"], None),
        (["all/1.png", "all/2.png"], [None, None], None),
        (["0.png", "cat/1.png", "dog/2.png"], [None, "cat", "dog"], None),
        (["train/cat/1.png", "train/dog/2.png", "test/cat/3.png"], ["cat", "dog", "cat"], [False, False, True]),
        (["Train/a/1.png", "val/b/2.png"], ["a", "b"], [False, True]),
        (["train/1.png", "test/2.png"], [None, None], [False, True]),
        (["train/1.png", "test/2.png", "other/3.png"], ["train", "test", "other"], None),
        (["train/a/1.png", "train/b/2.png"], ["a", "b"], None),
        ([], [], None),
    ],
)
def test_labels_by_folder(names, classes, test):
    assert by_folder(names) == (classes, test)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.mkdir(), "has no images; these are read: png, jpg"),
        (lambda p: [p.mkdir(), (p / "a.txt").write_text("a")], "has no images"),
    ],
)
def test_folder_mistakes(tmp_path, make, message):
    make(tmp_path / "x")
    with pytest.raises(UsageError, match=message):
        open_source(tmp_path / "x")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.zip", b"no zip", "cannot be read as a zip file"),
        ("x.csv", b"a", "is no image data: give a folder"),
        ("x.txt", b"\n# nothing\n", "has no images"),
        ("x.txt", b"\xff\xfe\x00", "is no text file of paths"),
    ],
)
def test_file_mistakes(tmp_path: Path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        open_source(tmp_path / name)
