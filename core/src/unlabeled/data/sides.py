"""Which side of a split a sample is on, and its class, as the names of folders say it.

``train`` beside a folder of test or val decides the split, whatever else lies there: stray files and other folders
(``unlabeled``) are of train and have no class. Val beside test is kept apart from both; alone it is the test.

    # N files
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Side = Literal["train", "val", "test"]
SIDES: dict[str, Side] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
Parts = tuple[str, ...]


@dataclass(frozen=True)
class Folders:
    """What the folders of N files say.

    Args:
        classes: of each file; None where it has none.
        sides: of each file; None where no folder says so.
    """

    classes: list[str | None]
    sides: list[Side | None]


def side_of(name: str) -> Side | None:
    """The side that a folder, or a word of a column, is called after; None where it is another name."""
    return SIDES.get(name.strip().casefold())


def spelled() -> str:
    """The words that name a side."""
    return ", ".join(SIDES)


def masks(sides: Sequence[Side | None]) -> "tuple[Tensor | None, Tensor | None]":
    """``test`` (bool[N], True = held out) and ``val`` (True = kept apart) of ``sides``; None where nothing is."""
    import torch  # here: a reader of manifests needs none

    def on(side: Side) -> "Tensor | None":
        return torch.tensor([s == side for s in sides]) if side in sides else None

    return (on("test"), on("val")) if "test" in sides else (on("val"), None)


def by_folder(names: Sequence[str]) -> Folders:
    """Split and classes of the files ``names``.

    Folders that all files share are passed over. The first folder, or the first within a side, is the class; None for a
    file that lies in none. One class tells nothing: all are None.
    """
    parts = [PurePosixPath(n.replace("\\", "/")).parts for n in names]
    beside = _beside_train(parts)
    if beside is None:
        return Folders(_classes(_inside(parts)), [None] * len(parts))
    sides = [side_of(p[0]) if len(p) > 1 else None for p in beside]
    return Folders(_classes([p[1:] if side else () for p, side in zip(beside, sides, strict=True)]), sides)


def _beside_train(parts: list[Parts]) -> list[Parts] | None:
    """``parts`` from the folder on in which ``train`` lies beside test or val; None where there is none."""
    while folders := {p[0] for p in parts if len(p) > 1}:
        sides = {side_of(folder) for folder in folders}
        if "train" in sides and sides & {"test", "val"}:
            return parts
        if len(folders) > 1:
            break
        parts = [p[1:] if len(p) > 1 else p for p in parts]
    return None


def _inside(parts: list[Parts]) -> list[Parts]:
    """``parts`` without the folders that all share."""
    while parts and all(len(p) > 1 and p[0] == parts[0][0] for p in parts):
        parts = [p[1:] for p in parts]
    return parts


def _classes(parts: list[Parts]) -> list[str | None]:
    classes = [p[0] if len(p) > 1 else None for p in parts]
    return classes if len(set(classes) - {None}) > 1 else [None] * len(parts)
