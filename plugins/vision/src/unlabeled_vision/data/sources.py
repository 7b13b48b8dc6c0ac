"""Files of images in a folder, a zip archive or a text file of paths, which keeps its own order."""

from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from unlabeled.data import sources, tables
from unlabeled.data.files import text_of, visible
from unlabeled.data.sources import Folder, Limits, Source
from unlabeled.errors import UsageError

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jpe", ".jfif", ".jif", ".apng", ".dib",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".avif", ".avifs",
)  # fmt: skip
FOREIGN = {".heic": "pillow-heif", ".heif": "pillow-heif", ".hif": "pillow-heif", ".jxl": "pillow-jxl-plugin"}
# no image that this project can use is larger; deflate cannot do better than 1032, so a higher claim is a lie
LIMITS = Limits(most=1 << 30, ratio=1100)


def open_source(path: Path) -> Source:
    """The image files at ``path``; :class:`UsageError` where there can be none."""
    source = sources.open_source(path, is_image, LIMITS)
    if source is None and path.suffix.lower() in (".txt", ".lst"):
        source = Folder(path.parent, limits=LIMITS, names=_lines(path))
    if source is None:
        raise UsageError(
            f"{path} is no image data: give a folder, a .zip, an .npz, a .txt of paths, or a manifest "
            f"({', '.join(tables.SUFFIXES)})"
        )
    if not source.names:
        raise UsageError(f"{path} has no images; these are read: {', '.join(s[1:] for s in SUFFIXES)}")
    return source


def is_image(name: str) -> bool:
    """Whether the name ends as an image's does and no part of it is hidden.

    Formats that only further packages read count: without them such files are named and counted, not passed over.
    """
    return visible(name) and name.lower().endswith((*SUFFIXES, *FOREIGN))


def wanting(name: str) -> str:
    """What a reason adds where an image cannot be read for want of a package; else empty."""
    package = FOREIGN.get(PurePosixPath(name).suffix.lower(), "")
    module = {"pillow-heif": "pillow_heif", "pillow-jxl-plugin": "pillow_jxl"}.get(package, "")
    return f"this format needs {package}: pip install {package}" if module and find_spec(module) is None else ""


def _lines(path: Path) -> list[str]:
    lines = text_of(path, "text file of paths").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
