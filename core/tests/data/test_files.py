"""Names, archives and bad samples, as every reader of files handles them."""

import copy
import os
import zipfile

import pytest

from unlabeled.data.files import Zip, check_bad, natural, text_of, visible, walk
from unlabeled.errors import UsageError


def test_numbers_in_names_count_as_numbers():
    names = ["a10", "a2", "B1", "9", "10", "a02"]
    assert natural(names) == ["9", "10", "a02", "a2", "a10", "B1"]


@pytest.mark.parametrize("name", [".a", "x/.git/b", "__MACOSX/a.png", ""])
def test_what_is_hidden_is_not_visible(name):
    assert not visible(name)
    assert visible("x/" + name.replace(".", "").replace("__", "") + "y")


def test_a_walk_follows_links_and_ends(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("10", "9", "b/1", "b/.hidden"):
        (tmp_path / name).write_text("x")
    os.symlink(tmp_path, tmp_path / "b" / "loop")
    assert walk(tmp_path) == ["9", "10", "b/1"]
    assert walk(tmp_path, lambda name: name.startswith("b/.")) == ["b/.hidden"]


def test_a_zip_is_opened_by_each_process_for_itself(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for name in ("10", "9", "__MACOSX/9"):
            file.writestr(name, name)
    archive = Zip(tmp_path / "x.zip")
    assert archive.members() == ["9", "10"]
    other = copy.copy(archive)  # by what a worker process is sent
    assert other.file is not archive.file
    assert other.file.read("10") == b"10"
    (tmp_path / "y.zip").write_text("no zip")
    with pytest.raises(UsageError, match=r"y.zip cannot be read as a zip file"):
        Zip(tmp_path / "y.zip").members()


def test_bad_samples_stop_above_their_share():
    bad = {f"{n}.png": "empty file" for n in range(13)}
    check_bad("photos", bad, 130, 0.1)
    check_bad("photos", {}, 0, 0.0)
    with pytest.raises(
        UsageError, match=r"13 of 129 images cannot be read \(10.1%, and --max-bad allows 10.0%\)"
    ) as info:
        check_bad("photos", bad, 129, 0.1, "images")
    assert str(info.value).count("empty file") == 5
    assert str(info.value).endswith("and 8 more")
    with pytest.raises(UsageError, match="13 of 13"):
        check_bad("photos", bad, 13, 1.0)


def test_a_pipe_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="a pipe or a device, and no file"):
        text_of(tmp_path / "pipe")
    with pytest.raises(UsageError, match="no regular file"):
        _ = Zip(tmp_path / "pipe").file
