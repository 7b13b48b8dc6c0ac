"""``unlabeled medical3d predict RUN --data PATH --out FOLDER``: a NIfTI of voxel labels for each volume.

RUN is a folder that ``segment --out`` wrote: its encoder, and beside it ``segmenter.json`` and the head's weights.
Scores of whole volumes, by sliding windows, are brought back to each input's own grid (linear between voxels) before
the label of each voxel is chosen. Of any other run it predicts classes, as in every domain.

    # K classes (background first), X Y Z voxels of the input
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.cli.predict import Predict as Classes
from unlabeled.cli.predict import predict_command
from unlabeled.errors import UsageError, within

if TYPE_CHECKING:
    from unlabeled.contract import Data
    from unlabeled.runs.pretrained import Pretrained
    from unlabeled_medical3d.ops.segmentation import Segmenter

FILE, WEIGHTS = "segmenter.json", "segmenter.safetensors"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Settings.

    Args:
        out: a new folder for voxel labels; of a run that tells classes, a .csv or .parquet file.
        overlap: of neighboring windows, in [0, 1).
        batch_size: volumes per forward pass, where classes are told.
        workers: processes that read data, where classes are told.
        device: auto, cpu, cuda, cuda:1, ...
    """

    out: Path
    overlap: float = 0.5
    batch_size: int = 16
    workers: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        within(0, 0.95, overlap=self.overlap)


def predict(run: Pretrained, data: Data, settings: Predict) -> str:
    """Voxel labels of each volume, by a run that segment --out wrote; classes, by one that finetune --out wrote."""
    if not (run.folder / FILE).is_file():
        more = {"batch_size": settings.batch_size, "workers": settings.workers, "device": settings.device}
        return predict_command(run, data, Classes(out=settings.out, **more))  # type: ignore[arg-type]
    return write_labels(run, data, settings)


def write_labels(run: Pretrained, data: Any, settings: Predict) -> str:
    """Label each volume of ``data``, and say how many could be read."""
    import nibabel as nib

    from unlabeled.data.readable import note
    from unlabeled.probes.embedding import evaluating
    from unlabeled.runs.pretrained import pick_device
    from unlabeled.runs.tuned import check_out
    from unlabeled_medical3d.ops.segmentation import slide

    if not hasattr(data, "origin"):
        raise UsageError(f"{data.describe()}: voxel labels are written on the grid of files, and this data has none")
    check_out(settings.out)
    device = pick_device(settings.device)
    model, written = load_segmenter(run).to(device), 0
    with evaluating(model):
        for number in range(len(data)):
            batch = data.__getitems__([number])
            note(data, batch)
            if not len(batch):
                continue
            scores = slide(model, batch.images[0].to(device), run.spec.size, overlap=settings.overlap).float().cpu()
            affine, shape = data.origin(number)
            labels = on_grid(scores, batch.affine[0], torch.from_numpy(affine), shape).argmax(0)
            file = settings.out / file_of(data.names[number])
            file.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(labels.to(torch.uint8).numpy(), affine), file)
            written += 1
    return f"saved {settings.out}: voxel labels of {written:,} of {len(data):,} volumes"


def on_grid(scores_KXYZ: Tensor, affine: Tensor, other: Tensor, shape: Sequence[int]) -> Tensor:
    """Scores at the voxels of a grid of ``shape`` with affine ``other``; the edge's beyond their own."""
    to_own = torch.linalg.inv(affine.double()) @ other.double()
    last = torch.tensor(scores_KXYZ.shape[1:], dtype=torch.float64).sub(1).clamp(min=1)
    place = torch.stack(torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij"), -1)
    unit = ((place @ to_own[:3, :3].T + to_own[:3, 3]) / last * 2 - 1).flip(-1).float()  # grid_sample: z first
    return F.grid_sample(scores_KXYZ[None], unit[None], padding_mode="border", align_corners=True)[0]


def file_of(name: str) -> str:
    """Where in a folder the labels of a sample go: by its own path, without what leads out of the folder."""
    from unlabeled_medical3d.data.sources import stem

    path = PurePosixPath(name.split(";")[0].replace("\\", "/"))
    inside = [part for part in path.parent.parts if part not in ("/", "..", ".")]
    return "/".join([*inside, f"{stem(path.name)}.nii.gz"])


def save_segmenter(
    out: Path, run: Pretrained, model: Segmenter, regions: Sequence[str], how: Mapping[str, Any]
) -> None:
    """A run folder with the tuned encoder of ``model``, its head, and the names of the labels."""
    from unlabeled.runs.encoder import save_encoder
    from unlabeled.runs.folder import ENCODER, RunFolder, write_json
    from unlabeled.runs.weights import save_weights

    assert run.config is not None
    model.to(device="cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    RunFolder(out).write(run.config)
    before, tuned = run.info["provenance"], {"from": str(run.folder), **how}
    steps, samples = before.get("steps", 0), before.get("samples_seen", 0)
    save_encoder(out / ENCODER, model.encoder, run.spec, run.config, steps=steps, samples=samples, finetuned=tuned)
    save_weights(model.head, out / WEIGHTS)
    write_json(out / FILE, {"format": FORMAT, "head": model.kind, "regions": list(regions), **tuned})


def load_segmenter(run: Pretrained) -> Segmenter:
    """The network of a folder that :func:`save_segmenter` wrote."""
    from unlabeled.runs.weights import load_weights
    from unlabeled_medical3d.ops.segmentation import Segmenter

    path = run.folder / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        kind, classes, number = found["head"], len(found["regions"]), found["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is broken: {error}") from error
    if number != FORMAT:
        raise UsageError(f"{path} has format {number}; this version reads {FORMAT}")
    model = Segmenter(run.encoder, run.spec, classes, kind)
    load_weights(model.head, run.folder / WEIGHTS)
    return model.eval()
