"""Native export: a folder that plain timm loads, without this project.

``model.safetensors`` holds the weights under timm's own names; ``README.md`` the lines that load them.
"""

from pathlib import Path

from safetensors.torch import save_file

from unlabeled_vision.batch import ImageSpec
from unlabeled_vision.encoders.timm import Blueprint, TimmEncoder

WEIGHTS = "model.safetensors"


def snippet(blueprint: Blueprint, spec: ImageSpec, folder: str) -> str:
    """Python that loads the exported weights, and says what the model wants to see."""
    imports = ["import timm", "import torch"] if any("torch" in line for line in blueprint.edits) else ["import timm"]
    return "\n".join(
        (
            *imports,
            "from safetensors.torch import load_file",
            "",
            blueprint.code(),
            f"model.load_state_dict(load_file({f'{folder}/{WEIGHTS}'!r}))",
            "model.eval()",
            f"# input: float [B, {spec.channels}, {spec.size}, {spec.size}] in [0, 1],",
            f"# then (x - mean) / std, with mean {list(spec.mean)} and std {list(spec.std)}",
            "# model(x) is one vector an image, model.forward_features(x) the tokens or the map",
        )
    )


def native(encoder: TimmEncoder, spec: ImageSpec, folder: Path) -> str:
    """Write the weights and how to load them into ``folder``; returns the lines of Python that load them."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in encoder.model.state_dict().items()}
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    lines = snippet(encoder.blueprint, spec, str(folder))
    text = f"# {encoder.blueprint.name}\n\nWeights for plain timm, in timm's own names.\n\n```python\n{lines}\n```\n"
    (folder / "README.md").write_text(text, encoding="utf-8")
    return lines
