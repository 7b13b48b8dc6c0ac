"""Image files: which they are, in which order, and the mistakes that a path can be."""

import pytest

from unlabeled.data.readable import SampleError
from unlabeled.data.sources import read
from unlabeled.errors import UsageError
from unlabeled_vision.data.sources import is_image, open_source


def test_what_is_an_image():
    for name in ("a.png", "a.JPG", "x/b.jpeg", "c.webp", "d.bmp", "e.TIF", "f.tiff", "./a.png", "../a.png"):
        assert is_image(name), name
    for name in ("g.gif", "h.jpe", "i.JFIF", "j.ppm", "k.jp2", "l.avif", "m.HEIC", "n.jxl"):
        assert is_image(name), name
    for name in (".a.png", "x/.hidden/a.png", "__MACOSX/a.png", "a.svg", "a.txt", "png", "a.png.part", ""):
        assert not is_image(name), name


def test_list_of_paths_keeps_its_order(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.png").write_bytes(b"b")
    (tmp_path / "in" / "a.png").write_bytes(b"a")
    lines = f"# two files\nin/b.png\n\n{tmp_path}/in/a.png\nin/missing.png\nin\n"
    (tmp_path / "list.txt").write_text(lines)
    source = open_source(tmp_path / "list.txt")
    assert [read(source, name) for name in source.names[:2]] == [b"b", b"a"]
    for name, reason in ((source.names[2], "no such file"), (source.names[3], "not a file")):
        with pytest.raises(SampleError, match=reason):
            read(source, name)


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
def test_file_mistakes(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        open_source(tmp_path / name)


def test_a_list_of_paths_may_have_a_byte_order_mark(tmp_path):
    (tmp_path / "list.lst").write_bytes(b"\xef\xbb\xbfx/1.png\r\n2.png\r\n")
    assert open_source(tmp_path / "list.lst").names == ["x/1.png", "2.png"]
    (tmp_path / "wide.txt").write_bytes("1.png\n".encode("utf-16"))
    with pytest.raises(UsageError, match=r"wide.txt is no text file of paths: it is UTF-16; save it as UTF-8"):
        open_source(tmp_path / "wide.txt")
