"""Native exports of encoders that transformers has no model for: timm's Vision Transformer, and plain torch modules.

A ``vit`` whose patches are not square (frames of all mel bands) becomes timm's ``VisionTransformer`` for clips of the
spec's longest view; a ``cnn`` becomes a few modules of torch, which the snippet spells out, for clips of any length.

    # D features, S steps, P prefix tokens
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from unlabeled.nn.init import sincos
from unlabeled_audio.batch import AudioSpec
from unlabeled_audio.encoders.cnn import CNN
from unlabeled_audio.encoders.rows import step_layout
from unlabeled_audio.encoders.vit import PREFIX, ViT
from unlabeled_audio.ops.frontends import FBANK_MEAN, MEAN, STD

WEIGHTS = "model.safetensors"


def spectrogram_note(spec: AudioSpec, shape: str) -> str:
    """Comment lines that say what the model reads."""
    mean = FBANK_MEAN if spec.front == "fbank" else MEAN
    return (
        f"# x: float {shape}, the {spec.front} frames of clips at {spec.rate} Hz\n"
        f"# with mean 0 and deviation 1, window {spec.window_samples}, hop {spec.hop_samples} samples,\n"
        f"# as (log energy - {mean}) / {STD}\n"
    )


# ---------------------------------------------------------------------------------------------- vit


def timm_vit(encoder: ViT, spec: AudioSpec, folder: Path) -> str:
    """timm's ``VisionTransformer`` over the spectrogram as an image, frames by mel bands; the lines that load it."""
    high, wide = encoder.patch
    steps = max(1, spec.frames(spec.longest) // wide)
    _write(_timm_state(encoder, steps), folder)
    pooled = f"[:, :{PREFIX}].mean(1)" if encoder.pool == "cls" else f"[:, {PREFIX}:].mean(1)"
    heads = encoder.blocks[0].attn.num_heads  # type: ignore[union-attr]
    return (
        "from safetensors.torch import load_file\nfrom timm.models.vision_transformer import VisionTransformer\n\n"
        f"model = VisionTransformer(\n    img_size=({steps * wide}, {spec.mels}), patch_size=({wide}, {high}), "
        f"in_chans=1, num_classes=0, reg_tokens={PREFIX - 1},\n    embed_dim={encoder.dim}, "
        f"depth={len(encoder.blocks)}, num_heads={heads}, no_embed_class=True, fc_norm=False, global_pool='avg',\n"
        ").eval()\n"
        f"model.load_state_dict(load_file({str(folder / WEIGHTS)!r}))\n"
        + spectrogram_note(spec, f"[B, 1, {steps * wide}, {spec.mels}]")
        + f"vector = model.forward_features(x){pooled}"
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

_MODULES = """from safetensors.torch import load_file
from torch import nn


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
    pooled = "rows.mean(1) + rows.amax(1)" if encoder.pool == "avg_max" else "rows.mean(1)"
    return (
        _MODULES + "model = nn.ModuleDict({\n"
        f"    'embed': nn.Linear({encoder.cell}, {encoder.dim}),\n"
        f"    'blocks': nn.Sequential(*(Block({encoder.dim}, {kernel}) for _ in range({blocks}))),\n"
        f"    'norm': nn.LayerNorm({encoder.dim}),\n"
        "}).eval()\n"
        f"model.load_state_dict(load_file({str(folder / WEIGHTS)!r}))\n"
        + spectrogram_note(spec, f"[B, frames, {spec.mels}]")
        + f"x = x[:, : x.shape[1] // {wide} * {wide}].unflatten(1, (-1, {wide})).flatten(2)\n"
        "rows = model['norm'](model['blocks'](model['embed'](x)))  # [B, rows, D]\n"
        f"vector = {pooled}"
    )


KEPT = ("embed.", "blocks.", "norm.")


def _write(state: dict[str, Tensor], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    save_file(found, folder / WEIGHTS, metadata={"format": "pt"})
