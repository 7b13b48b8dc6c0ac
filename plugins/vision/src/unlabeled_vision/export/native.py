"""Native export: a folder that plain timm loads, without this project.

``model.safetensors`` holds the weights under timm's own names, ``preprocess.py`` what an image goes through before;
``README.md`` the lines that load both.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from unlabeled.runs.export import carry, readme
from unlabeled_vision.batch import ImageSpec
from unlabeled_vision.encoders.timm import TimmEncoder

WEIGHTS = "model.safetensors"


def snippet(encoder: TimmEncoder, spec: ImageSpec, folder: str) -> str:
    """Python that loads the exported weights, and embeds images with them."""
    found = encoder.shape
    vector = "model(x)"
    if found is not None and not found.head:
        mean = {"NCHW": ".mean((2, 3))", "NHWC": ".mean((1, 2))", "NLC": f"[:, {found.prefix}:].mean(1)"}
        vector = f"model.forward_features(x){mean[found.form]}"
    return "\n".join(
        (
            "import runpy",
            "",
            "import timm",
            "import torch",
            "from safetensors.torch import load_file",
            "",
            f"folder = {folder!r}",
            'read = runpy.run_path(f"{folder}/preprocess.py")["read"]',
            encoder.blueprint.code(),
            f'model.load_state_dict(load_file(f"{{folder}}/{WEIGHTS}"))',
            "model.eval()",
            "",
            "",
            "def embed(images):",
            '    """float32[N, D], one vector for each image, a path or an array; forward_features gives its rows."""',
            f"    x = read(images)  # float32[N, {spec.channels}, {spec.size}, {spec.size}],",
            f"    # (x - mean) / std of values in [0, 1], mean {list(spec.mean)} and std {list(spec.std)}",
            "    with torch.no_grad():",
            f"        return {vector}",
        )
    )


def native(
    encoder: TimmEncoder, spec: ImageSpec, folder: Path, views: Any = None, settings: Mapping[str, Any] | None = None
) -> str:
    """Write weights, preprocessing and how to load them into ``folder``; returns the lines of Python that load them."""
    folder, chosen = Path(folder), settings or {}
    carry(
        str(Path(__file__).with_name("preprocess.py")),
        folder,
        {
            "channels": spec.channels,
            "size": spec.size,
            "mean": spec.mean,
            "std": spec.std,
            "filter": "bilinear",
            "antialias": True,
            "enlarge": getattr(views, "enlarge", 1.0),
            "least": round(chosen.get("shrink", 2.0) * spec.size),
            "white": chosen.get("white", 65535),
        },
    )
    state = {name: value.detach().cpu().contiguous() for name, value in encoder.model.state_dict().items()}
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    lines = snippet(encoder, spec, str(folder))
    about = "Weights for plain timm, in timm's own names; `preprocess.py` makes what they read of an image."
    readme(folder / "README.md", encoder.blueprint.name, about, lines)
    return lines
