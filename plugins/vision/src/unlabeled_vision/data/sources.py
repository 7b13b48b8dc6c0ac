"""Files of images in a folder, a zip archive or a text file of paths, which keeps its own order."""

from __future__ import annotations

from pathlib import Path

from unlabeled.data import sources
from unlabeled.data.files import visible
from unlabeled.data.sources import Folder, Limits, Source
from unlabeled.errors import UsageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
HELD_OUT = ("test", "val", "valid", "validation")
# no image that this project can use is larger; deflate cannot do better than 1032, so a higher claim is a lie
LIMITS = Limits(most=1 << 30, ratio=1100)


def open_source(path: Path) -> Source:
    """The image files at ``path``; :class:`UsageError` where there can be none."""
    source = sources.open_source(path, is_image, LIMITS)
    if source is None and path.suffix.lower() in (".txt", ".lst"):
        source = Folder(path.parent, limits=LIMITS, names=_lines(path))
    if source is None:
        raise UsageError(f"{path} is no image data: give a folder, a .zip, an .npz, or a .txt of paths")
    if not source.names:
        raise UsageError(f"{path} has no images; these are read: {', '.join(s[1:] for s in SUFFIXES)}")
    return source


def is_image(name: str) -> bool:
    """Whether the name ends as an image's does and no part of it is hidden."""
    return visible(name) and name.lower().endswith(SUFFIXES)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} is no text file of paths: {error}") from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
