"""Native export: a MONAI bundle that MONAI alone loads, with the encoder's weights placed in the full network.

``models/model.pt`` is a ``state_dict`` under MONAI's own names, ``configs/inference.json`` the network that it belongs
to: the encoder's own class where MONAI has one (ViT, ResNet), else the whole segmentation network (Swin UNETR, DynUNet,
SegResNet), of which the encoder is a part. A ViT with patches of 16 is also placed in a UNETR, as
``models/segmentation.pt``. What pre-training never saw, the decoder, has MONAI's first weights from a fixed seed.

An encoder that MONAI has no class for (cross-shaped windows, timm on slices) is written as ``models/model.pt2``, a
program of ``torch.export`` that torch alone loads. ``preprocess.py`` makes what the encoder reads of a file; the
lines of ``docs/README.md`` load both.
"""

import copy
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from monai.networks import nets
from torch import Tensor, nn

from unlabeled.errors import UsageError
from unlabeled.runs.export import carry, readme
from unlabeled_medical3d.batch import CT_WINDOW, PERCENTILES, VolumeSpec
from unlabeled_medical3d.encoders.vit import Blueprint

SEED = 0  # of the weights that pre-training leaves out


def make(name: str, kwargs: Mapping[str, Any]) -> nn.Module:
    """A network of MONAI, with weights drawn from a fixed seed; the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model: nn.Module = getattr(nets, name)(**kwargs)
    return model


def placed(encoder: Any, name: str, kwargs: Mapping[str, Any], prefix: str) -> nn.Module:
    """The network ``name`` with every weight of the encoder in its place, under ``prefix``."""
    model = make(name, kwargs)
    state = {prefix + key: value.detach().cpu() for key, value in encoder.model.state_dict().items()}
    _, unexpected = model.load_state_dict(state, strict=False)
    if unexpected:
        raise UsageError(f"MONAI's {name} has no {unexpected[0]}: another version than {version('monai')} is needed")
    return model


def _save(folder: Path, encoder: Any, name: str, kwargs: Mapping[str, Any], prefix: str, called: str) -> None:
    """Weights as ``models/<called>.pt``, and the network as ``configs/<...>.json``."""
    (folder / "models").mkdir(parents=True, exist_ok=True)
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    torch.save(placed(encoder, name, kwargs, prefix).state_dict(), folder / "models" / f"{called}.pt")
    config = {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "ckpt_path": f"$@bundle_root + '/models/{called}.pt'",
        "network_def": {"_target_": f"monai.networks.nets.{name}", **kwargs},
        "load": "$@network_def.load_state_dict(torch.load(@ckpt_path, weights_only=True))",
    }
    file = "inference" if called == "model" else called
    (folder / "configs" / f"{file}.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def metadata(spec: VolumeSpec, blueprint: Blueprint) -> dict[str, Any]:
    """What a MONAI bundle says of itself."""
    image = {
        "type": "image",
        "format": "magnitude",
        "num_channels": spec.channels,
        "spatial_shape": list(spec.size),
        "dtype": "float32",
        "is_patch_data": True,
        "spacing_mm": list(spec.spacing),
        "orientation": "RAS",
    }
    return {
        "version": "0.1.0",
        "monai_version": version("monai"),
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {},
        "task": "self-supervised encoder, for fine-tuning",
        "description": f"{blueprint.name or blueprint.whole} pre-trained with unlabeled {version('unlabeled')}",
        "network_data_format": {"inputs": {"image": image}, "outputs": {}},
    }


def snippet(blueprint: Blueprint, spec: VolumeSpec, folder: str) -> str:
    """Python that loads the weights with MONAI alone, and embeds volumes with them."""
    name = blueprint.name or blueprint.whole
    kwargs = blueprint.kwargs if blueprint.name else blueprint.whole_kwargs or {}
    arguments = ", ".join(f"{key}={value!r}" for key, value in kwargs.items())
    load = (
        f"model = nets.{name}({arguments})",
        'model.load_state_dict(torch.load(f"{folder}/models/model.pt", weights_only=True))',
        "model.eval()",
    )
    return _lines(spec, folder, ("from monai.networks import nets",), load, blueprint.features)


def _lines(spec: VolumeSpec, folder: str, imports: tuple[str, ...], load: tuple[str, ...], features: str) -> str:
    """The whole page: imports, loading, ``features_of(x)`` and ``embed(volumes)``."""
    return "\n".join(
        (
            "import runpy",
            "",
            "import torch",
            *imports,
            "",
            f"folder = {folder!r}",
            'read = runpy.run_path(f"{folder}/preprocess.py")["read"]',
            *load,
            "",
            "",
            "def features_of(x):",
            f"    # x: float [B, {spec.channels}, {', '.join(map(str, spec.size))}], RAS axes,",
            f"    # voxels of {' x '.join(f'{mm:g}' for mm in spec.spacing)} mm; CT window to -1..1, MR z-scored",
            *(f"    {line}" for line in features.splitlines()),
            f"    return {features.partition(' = ')[0]}",
            "",
            "",
            "def embed(volumes):",
            '    """float32[N, D], one vector for each volume, a NIfTI file."""',
            "    with torch.no_grad():",
            "        found = features_of(torch.stack([read(volume) for volume in volumes]))",
            "    if found.dim() == 3:  # [N, rows, D]",
            "        return found.mean(1)",
            "    return found.mean((2, 3, 4)) if found.dim() == 5 else found  # of [N, D, x, y, z]",
        )
    )


class _LastMap(nn.Module):
    """Images to the map that rows are taken from."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.encoder.stages(images)[-1]
        return out


def _program(encoder: Any, spec: VolumeSpec, folder: Path) -> str:
    """Write ``models/model.pt2``; the lines that load it with torch alone."""
    (folder / "models").mkdir(parents=True, exist_ok=True)
    model = _LastMap(copy.deepcopy(encoder).cpu().eval())
    images = torch.zeros(2, spec.channels, *spec.size)
    program = torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.export.save(program, folder / "models" / "model.pt2")
    load = ('model = torch.export.load(f"{folder}/models/model.pt2").module()',)
    return _lines(spec, str(folder), (), load, "cells = model(x)  # [B, D, x, y, z]")


def native(
    encoder: Any, spec: VolumeSpec, folder: Path, views: Any = None, settings: Mapping[str, Any] | None = None
) -> str:
    """Write the bundle into ``folder``; returns the lines of Python that load it without the bundle's config."""
    folder = Path(folder)
    blueprint: Blueprint = encoder.blueprint
    if getattr(encoder, "channel", None) is not None:
        raise UsageError("no class of MONAI has rows for each channel: export it --to onnx")
    _carry(spec, folder, bool(getattr(views, "whole", False)), settings or {})
    if not blueprint.name and not blueprint.whole:
        return _page(folder, type(encoder).__name__, _program(encoder, spec, folder))
    if blueprint.name:
        _save(folder, encoder, blueprint.name, blueprint.kwargs, "", "model")
    if blueprint.whole:
        called = "segmentation" if blueprint.name else "model"
        _save(folder, encoder, blueprint.whole, blueprint.whole_kwargs or {}, blueprint.prefix, called)
    about = json.dumps(metadata(spec, blueprint), indent=2) + "\n"
    (folder / "configs" / "metadata.json").write_text(about, encoding="utf-8")
    return _page(folder, blueprint.name or blueprint.whole, snippet(blueprint, spec, str(folder)))


def _carry(spec: VolumeSpec, folder: Path, whole: bool, chosen: Mapping[str, Any]) -> None:
    """``preprocess.py``, and its numbers for this encoder."""
    asked = {"channels": spec.channels, "size": spec.size, "spacing": spec.spacing, "whole": whole}
    asked |= {"modality": chosen.get("modality", "auto"), "window": chosen.get("window", CT_WINDOW)}
    asked |= {"percentiles": chosen.get("percentiles", PERCENTILES)}
    carry(str(Path(__file__).with_name("preprocess.py")), folder, asked)


def _page(folder: Path, title: str, lines: str) -> str:
    """Write ``docs/README.md``, where MONAI's bundles have it; the lines again."""
    about = "Weights that load without this project; `preprocess.py` makes what they read of a NIfTI file."
    readme(folder / "docs" / "README.md", title, about, lines)
    return lines
