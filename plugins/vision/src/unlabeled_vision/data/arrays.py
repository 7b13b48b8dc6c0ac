"""Images in the arrays of an ``.npz`` file, checked; pickles are refused.

# N samples, C channels, H height, W width
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unlabeled.errors import UsageError


def read_arrays(path: Path, channels: int) -> tuple[np.ndarray, Tensor | None, tuple[str, ...]]:
    """``x[N, C, H, W]`` as stored (uint8, uint16, or float in [0, 1]), labels ``[N]`` and the names of the classes.

    ``channels`` 0 takes the data's own; 3 repeats gray.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in ("x", "y")}
            names = ", ".join(file.files) or "nothing"
    except Exception as error:  # damaged archives and pickled arrays raise several types
        raise UsageError(f"{path} cannot be read as an .npz of plain arrays: {error}") from error
    if "x" not in arrays:
        raise UsageError(f"{path} has {names}; it must have x (images), and may have y (labels)")
    x = _channels_first(path, arrays["x"], channels)
    return x, *_labels(path, arrays.get("y"), len(x))


def _channels_first(path: Path, x: np.ndarray, channels: int) -> np.ndarray:
    """``x`` as ``[N, C, H, W]``, checked."""
    if x.ndim not in (3, 4) or 0 in x.shape or (x.ndim == 4 and x.shape[3] > 4):
        raise UsageError(f"{path}: x has shape {list(x.shape)}; it must be [N, H, W] or [N, H, W, C] with C 1 to 4")
    if x.dtype not in (np.uint8, np.uint16) and x.dtype.kind != "f":
        raise UsageError(f"{path}: x is {x.dtype}; it must be uint8, uint16, or float in [0, 1]")
    if x.dtype.kind == "f" and not (x.min() >= 0 and x.max() <= 1):
        raise UsageError(f"{path}: x has floats from {x.min():g} to {x.max():g}; they must lie in [0, 1]")
    x = x[:, None] if x.ndim == 3 else np.moveaxis(x, 3, 1)
    if channels and channels != x.shape[1]:
        if x.shape[1] != 1 or channels != 3:
            raise UsageError(f"{path}: x has {x.shape[1]} channels, and channels is {channels}")
        x = np.repeat(x, 3, axis=1)
    return x


def _labels(path: Path, y: np.ndarray | None, count: int) -> tuple[Tensor | None, tuple[str, ...]]:
    if y is None:
        return None, ()
    if y.shape not in ((count,), (count, 1)):
        raise UsageError(f"{path}: y has shape {list(y.shape)}; it must be [{count}], one label a sample")
    names, numbers = np.unique(y.reshape(-1), return_inverse=True)
    return torch.from_numpy(numbers.reshape(-1)).long(), tuple(str(n) for n in names)
