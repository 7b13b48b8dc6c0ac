"""Folders and archives as sources of files: what is read, what is refused and why, and what folders say."""

import zipfile

import pytest

from unlabeled.data.readable import SampleError
from unlabeled.data.sources import Archive, Folder, Limits, open_source, passed_over, read
from unlabeled.errors import UsageError


def is_image(name):
    return name.endswith(".png") and "MACOSX" not in name


def test_a_folder_gives_its_files_and_says_what_is_none(tmp_path):
    for name in ("2.png", "10.png", "note.txt"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "0.png").touch()
    source = open_source(tmp_path, is_image)
    assert source.names == ["0.png", "2.png", "10.png"]
    assert read(source, "10.png") == b"10.png"
    assert (source.size("10.png"), source.has("10.png"), source.has("11.png")) == (6, True, False)
    for name, reason in (("0.png", "empty file"), ("11.png", "no such file"), (".", "not a file")):
        with pytest.raises(SampleError, match=reason):
            read(source, name)
    assert read(Folder(tmp_path, limits=Limits(least=0)), "0.png") == b""
    assert Folder(tmp_path, names=["b", "a"]).names == ["b", "a"]


@pytest.mark.parametrize("packed", [False, True])
def test_files_of_other_kinds_are_counted(tmp_path, packed):
    root = tmp_path / "set"
    root.mkdir()
    for name in ("a.png", "b.psd", "c.PSD", "README", ".hidden"):
        (root / name).write_bytes(b"x")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        for path in root.iterdir():
            file.write(path, path.name)
    source = open_source(tmp_path / "set.zip" if packed else root, is_image)
    assert source.names == ["a.png"]
    assert passed_over(source.others) == ["3 files of other kinds not read (2 .psd, 1 no suffix)"]
    assert passed_over(Folder(root, names=["a.png"]).others) == []


def test_a_stamp_changes_with_the_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"a")
    source = Folder(tmp_path)
    before = source.stamp("a.png")
    assert source.stamp("a.png") == before
    (tmp_path / "a.png").write_bytes(b"ab")
    assert source.stamp("a.png") != before


def test_archive_and_its_damage(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/2.png", b"second")
        file.writestr("a/1.png", b"first" * 100)
        file.writestr("a/0.png", b"")
        file.writestr("__MACOSX/a/1.png", b"no")
        file.writestr("../up.png", b"harmless")
        file.writestr("bomb.png", b"\0" * 3_000_000, zipfile.ZIP_DEFLATED)
    source = Archive(path, is_image, Limits(ratio=1000))
    assert source.names == ["../up.png", "a/0.png", "a/1.png", "a/2.png", "bomb.png"]
    assert read(source, "a/2.png") == b"second"
    assert read(source, "../up.png") == b"harmless"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.zip"]
    with pytest.raises(SampleError, match="empty file"):
        read(source, "a/0.png")
    with pytest.raises(SampleError, match=r"claims 3000000 bytes from .*: a decompression bomb"):
        read(source, "bomb.png")
    with pytest.raises(SampleError, match="2 MiB, and 1 are the most"):
        read(Archive(path, limits=Limits(most=1 << 20)), "bomb.png")
    path.write_bytes(path.read_bytes().replace(b"first", b"worst", 1))
    with pytest.raises(SampleError, match="cannot be read: Bad CRC"):
        read(Archive(path), "a/1.png")
    with pytest.raises(SampleError, match="damaged in the archive: Bad CRC"):
        Archive(path, limits=Limits(whole=1000)).open("a/1.png")


def test_what_is_no_source(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        open_source(tmp_path / "x")
    (tmp_path / "x.csv").touch()
    assert open_source(tmp_path / "x.csv") is None
