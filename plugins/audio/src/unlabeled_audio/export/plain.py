"""Native exports of encoders that transformers has no model for: timm's Vision Transformer, and plain torch modules.

A ``vit`` whose patches are not square (frames of all mel bands) becomes timm's ``VisionTransformer`` for clips of the
spec's longest view; a ``cnn`` becomes a few modules of torch, which the snippet spells out, for clips of any length.

    # D features, S steps, P prefix tokens
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from unlabeled.nn.init import sincos
from unlabeled.runs.export import carry, readme
from unlabeled_audio.batch import AudioSpec
from unlabeled_audio.encoders.cnn import CNN
from unlabeled_audio.encoders.rows import MelEncoder, step_layout
from unlabeled_audio.encoders.vit import PREFIX, ViT
from unlabeled_audio.ops.frontends import FBANK_MEAN, MEAN, STD, Spectrogram

WEIGHTS = "model.safetensors"


def begin(folder: Path, *imports: str) -> str:
    """The first lines of every page: imports, where the files lie, and the front end beside them."""
    lines = ["import runpy", "", "import torch", *imports, "", f"folder = {str(folder)!r}"]
    return "\n".join([*lines, 'front = runpy.run_path(f"{folder}/frontend.py")', ""])


EMBED = '''

def embed(clips):
    """float32[N, D], one vector for each clip, a path or mono samples; a long recording has one for each part."""
    with torch.no_grad():
        return torch.stack([vector_of(wave) for clip in clips for wave in front["read"](clip)])
'''


def carry_front(encoder: Any, spec: AudioSpec, folder: Path, settings: Mapping[str, Any] | None) -> None:
    """``frontend.py``, and its numbers for this encoder."""
    front = {
        "rate": spec.rate,
        "longest": spec.longest,
        "segment": (settings or {}).get("segment", 30.0),
        "front": spec.front,
        "mels": spec.mels,
        "window": spec.window_samples,
        "hop": spec.hop_samples,
        "points": Spectrogram(spec).size,
        "mean": FBANK_MEAN if spec.front == "fbank" else MEAN,
        "std": STD,
        "patch": encoder.patch[1] if isinstance(encoder, MelEncoder) else 1,
    }
    carry(str(Path(__file__).with_name("frontend.py")), folder, front)


def page(folder: Path, lines: str) -> str:
    """Write ``README.md``; the lines again."""
    about = "Weights that load without the project that trained them; `frontend.py` makes what they read of a clip."
    readme(folder / "README.md", "Audio encoder", about, lines)
    return lines


# ---------------------------------------------------------------------------------------------- vit


def timm_vit(encoder: ViT, spec: AudioSpec, folder: Path) -> str:
    """timm's ``VisionTransformer`` over the spectrogram as an image, frames by mel bands; the lines that load it."""
    high, wide = encoder.patch
    steps = max(1, spec.frames(spec.longest) // wide)
    _write(_timm_state(encoder, steps), folder)
    pooled = f"[0, :{PREFIX}].mean(0)" if encoder.pool == "cls" else f"[0, {PREFIX}:].mean(0)"
    heads = encoder.blocks[0].attn.num_heads  # type: ignore[union-attr]
    return (
        begin(
            folder,
            "from safetensors.torch import load_file",
            "from timm.models.vision_transformer import VisionTransformer",
        )
        + f"model = VisionTransformer(\n    img_size=({steps * wide}, {spec.mels}), patch_size=({wide}, {high}), "
        f"in_chans=1, num_classes=0, reg_tokens={PREFIX - 1},\n    embed_dim={encoder.dim}, "
        f"depth={len(encoder.blocks)}, num_heads={heads}, no_embed_class=True, fc_norm=False, global_pool='avg',\n"
        ").eval()\n"
        f'model.load_state_dict(load_file(f"{{folder}}/{WEIGHTS}"))\n'
        "model.patch_embed.strict_img_size = False\n"
        "places = model.pos_embed.data\n\n\n"
        "def vector_of(wave):\n"
        f'    x = front["spectrogram"](wave)  # [frames, {spec.mels}], at most {steps * wide} frames\n'
        f"    x = x[: {steps * wide}]\n"
        f"    model.pos_embed.data = places[:, : len(x) // {wide} * {encoder.bands}]  # a shorter clip has the first\n"
        f"    return model.forward_features(x[None, None]){pooled}\n" + EMBED
    )


def _timm_state(encoder: ViT, steps: int) -> dict[str, Tensor]:
    """Our weights under timm's names; positions of ``steps`` steps are written out."""
    high, wide = encoder.patch
    place = sincos(step_layout((steps,), encoder.bands, torch.device("cpu")).position, encoder.dim)
    state = {
        "cls_token": encoder.prefix[None, :1],
        "reg_token": encoder.prefix[None, 1:],
        "pos_embed": place[None],
        "patch_embed.proj.weight": encoder.embed.weight.unflatten(1, (wide, high))[:, None],
        "patch_embed.proj.bias": encoder.embed.bias,
        "norm.weight": encoder.norm.weight,
        "norm.bias": encoder.norm.bias,
    }
    return state | {f"blocks.{name}": value for name, value in encoder.blocks.state_dict().items()}


# ---------------------------------------------------------------------------------------------- cnn

_MODULES = """

class Block(nn.Module):
    def __init__(self, width, kernel):
        super().__init__()
        self.mix = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        return x + self.mlp(self.norm(self.mix(x.mT).mT))


"""


def plain_cnn(encoder: CNN, spec: AudioSpec, folder: Path) -> str:
    """The CNN as modules of torch; the lines that define and load it."""
    wide, blocks = encoder.patch[1], len(encoder.blocks)
    kernel = encoder.blocks[0].mix.kernel_size[0]  # type: ignore[union-attr,index]
    _write({name: value for name, value in encoder.state_dict().items() if name.startswith(KEPT)}, folder)
    pooled = "rows.mean(0) + rows.amax(0)" if encoder.pool == "avg_max" else "rows.mean(0)"
    return (
        begin(folder, "from safetensors.torch import load_file", "from torch import nn")
        + _MODULES
        + "model = nn.ModuleDict({\n"
        f"    'embed': nn.Linear({encoder.cell}, {encoder.dim}),\n"
        f"    'blocks': nn.Sequential(*(Block({encoder.dim}, {kernel}) for _ in range({blocks}))),\n"
        f"    'norm': nn.LayerNorm({encoder.dim}),\n"
        "}).eval()\n"
        f'model.load_state_dict(load_file(f"{{folder}}/{WEIGHTS}"))\n\n\n'
        "def vector_of(wave):\n"
        f'    x = front["spectrogram"](wave).unflatten(0, (-1, {wide})).flatten(1)\n'
        "    rows = model['norm'](model['blocks'](model['embed'](x)[None]))[0]  # [rows, D]\n"
        f"    return {pooled}\n" + EMBED
    )


KEPT = ("embed.", "blocks.", "norm.")


def _write(state: dict[str, Tensor], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    save_file(found, folder / WEIGHTS, metadata={"format": "pt"})
