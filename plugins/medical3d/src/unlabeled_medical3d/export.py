"""Native export: a MONAI bundle that MONAI alone loads, with the encoder's weights placed in the full network.

``models/model.pt`` is a ``state_dict`` under MONAI's own names, ``configs/inference.json`` the network that it belongs
to: the encoder's own class where MONAI has one (ViT, ResNet), else the whole segmentation network (Swin UNETR, DynUNet,
SegResNet), of which the encoder is a part. A ViT with patches of 16 is also placed in a UNETR, as
``models/segmentation.pt``. What pre-training never saw, the decoder, has MONAI's first weights from a fixed seed.

An encoder that MONAI has no class for (cross-shaped windows, timm on slices) is written as ``models/model.pt2``, a
program of ``torch.export`` that torch alone loads.
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
from unlabeled_medical3d.batch import VolumeSpec
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
    """Python that loads the weights with MONAI alone, and says what the model wants to see."""
    name = blueprint.name or blueprint.whole
    kwargs = blueprint.kwargs if blueprint.name else blueprint.whole_kwargs or {}
    arguments = ", ".join(f"{key}={value!r}" for key, value in kwargs.items())
    return "\n".join(
        (
            "import torch",
            "from monai.networks import nets",
            "",
            f"model = nets.{name}({arguments})",
            f"model.load_state_dict(torch.load({f'{folder}/models/model.pt'!r}, weights_only=True))",
            "model.eval()",
            *_wants(spec),
            blueprint.features,
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
    return "\n".join(
        (
            "import torch",
            "",
            f"model = torch.export.load({f'{folder}/models/model.pt2'!r}).module()",
            *_wants(spec),
            "cells = model(x)  # [B, D, x, y, z]",
        )
    )


def _wants(spec: VolumeSpec) -> tuple[str, str]:
    return (
        f"# x: float [B, {spec.channels}, {', '.join(map(str, spec.size))}], RAS axes,",
        f"# voxels of {' x '.join(f'{mm:g}' for mm in spec.spacing)} mm; CT window to -1..1, MR z-scored",
    )


def native(encoder: Any, spec: VolumeSpec, folder: Path) -> str:
    """Write the bundle into ``folder``; returns the lines of Python that load it without the bundle's config."""
    folder = Path(folder)
    blueprint: Blueprint = encoder.blueprint
    if not blueprint.name and not blueprint.whole:
        return _program(encoder, spec, folder)
    if blueprint.name:
        _save(folder, encoder, blueprint.name, blueprint.kwargs, "", "model")
    if blueprint.whole:
        called = "segmentation" if blueprint.name else "model"
        _save(folder, encoder, blueprint.whole, blueprint.whole_kwargs or {}, blueprint.prefix, called)
    about = json.dumps(metadata(spec, blueprint), indent=2) + "\n"
    (folder / "configs" / "metadata.json").write_text(about, encoding="utf-8")
    lines = snippet(blueprint, spec, str(folder))
    (folder / "docs").mkdir(exist_ok=True)
    title = blueprint.name or blueprint.whole
    text = f"# {title}\n\nWeights for plain MONAI, in its own names.\n\n```python\n{lines}\n```\n"
    (folder / "docs" / "README.md").write_text(text, encoding="utf-8")
    return lines
