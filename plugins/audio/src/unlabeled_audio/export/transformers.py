"""Native exports: folders of transformers that ``from_pretrained(path)`` loads offline, and torchaudio's state dict.

``wav2vec2`` becomes a ``Wav2Vec2Model``, or a ``HubertModel``, or torchaudio's ``wav2vec2_model``; ``vit`` of square
patches becomes an ``ASTModel``, whose clips have all the length of the spec's longest view; other patches and ``cnn``
as ``export/plain.py`` says. Outputs are equal to the encoder's; ``frontend.py`` beside the weights makes what goes in
of a file: the standardized waveform, or the spectrogram.

    # D features, P side of a patch
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from unlabeled.errors import UsageError
from unlabeled.nn.init import sincos
from unlabeled_audio.batch import AudioSpec
from unlabeled_audio.encoders.cnn import CNN
from unlabeled_audio.encoders.rows import step_layout
from unlabeled_audio.encoders.vit import PREFIX, ViT
from unlabeled_audio.encoders.wav2vec2 import Wav2Vec2
from unlabeled_audio.export.plain import EMBED, begin, carry_front, page, plain_cnn, timm_vit

WEIGHTS = "model.safetensors"


Settings = Mapping[str, Any] | None  # of the run's data


def native(encoder: Any, spec: AudioSpec, folder: Path, settings: Settings = None) -> str:
    """``Wav2Vec2Model`` of wav2vec2, ``ASTModel`` of a vit of square patches, timm's ViT of others, a cnn in torch."""
    if isinstance(encoder, Wav2Vec2):
        return _waveform_model(encoder, encoder.model, "Wav2Vec2Model", spec, Path(folder), settings)
    if isinstance(encoder, ViT) and encoder.patch[0] == encoder.patch[1]:
        return ast(encoder, spec, folder, settings)
    if isinstance(encoder, (ViT, CNN)):
        carry_front(encoder, spec, folder := Path(folder), settings)
        made = timm_vit(encoder, spec, folder) if isinstance(encoder, ViT) else plain_cnn(encoder, spec, folder)
        return page(folder, made)
    name = type(encoder).__name__.lower()
    raise UsageError(f"no library has the encoder {name!r}: export it --to onnx, or pre-train wav2vec2, vit or cnn")


def hubert(encoder: Any, spec: AudioSpec, folder: Path, settings: Settings = None) -> str:
    """A transformers folder of a ``HubertModel``."""
    from transformers import HubertConfig, HubertModel

    model = _wave_only(encoder, "hubert").model
    values = {k: v for k, v in model.config.to_dict().items() if k not in ("model_type", "architectures")}
    made = HubertModel(HubertConfig(**values))
    made.load_state_dict(model.state_dict())
    return _waveform_model(encoder, made, "HubertModel", spec, Path(folder), settings)


def _wave_only(encoder: Any, to: str) -> Wav2Vec2:
    if not isinstance(encoder, Wav2Vec2):
        raise UsageError(f"only encoder wav2vec2 can be exported to {to}; this is {type(encoder).__name__.lower()}")
    return encoder


def _waveform_model(encoder: Wav2Vec2, model: Any, name: str, spec: AudioSpec, folder: Path, settings: Settings) -> str:
    from transformers import Wav2Vec2FeatureExtractor

    _save(model, folder)
    Wav2Vec2FeatureExtractor(
        sampling_rate=spec.rate, do_normalize=True, return_attention_mask=model.config.feat_extract_norm == "layer"
    ).save_pretrained(folder)
    carry_front(encoder, spec, folder, settings)
    load = f"model = {name}.from_pretrained(folder).eval()\n"
    vector = _of_wave(encoder, "model(wave[None]).last_hidden_state")
    return page(folder, begin(folder, f"from transformers import {name}") + load + vector + EMBED)


def _of_wave(encoder: Wav2Vec2, frames: str) -> str:
    """``vector_of(wave)``: the mean of the rows that ``frames`` gives; one clip at a time needs no padding."""
    short = f"max(0, {encoder.window} - len(wave))"
    return (
        "\n\ndef vector_of(wave):\n"
        f"    wave = torch.nn.functional.pad(wave, (0, {short}))  # the least that has a row\n"
        f"    return {frames}[0].mean(0)  # of [rows, D]\n"
    )


def torchaudio(encoder: Any, spec: AudioSpec, folder: Path, settings: Settings = None) -> str:
    """The state dict of torchaudio's ``wav2vec2_model``, and the arguments that make it."""
    model = _wave_only(encoder, "torchaudio").model
    config, folder = model.config, Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    layers = list(zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True))
    arguments = {
        "extractor_mode": f"{config.feat_extract_norm}_norm",
        "extractor_conv_layer_config": [list(layer) for layer in layers],
        "extractor_conv_bias": config.conv_bias,
        "encoder_embed_dim": config.hidden_size,
        "encoder_projection_dropout": 0.0,
        "encoder_pos_conv_kernel": config.num_conv_pos_embeddings,
        "encoder_pos_conv_groups": config.num_conv_pos_embedding_groups,
        "encoder_num_layers": config.num_hidden_layers,
        "encoder_num_heads": config.num_attention_heads,
        "encoder_attention_dropout": 0.0,
        "encoder_ff_interm_features": config.intermediate_size,
        "encoder_ff_interm_dropout": 0.0,
        "encoder_dropout": 0.0,
        "encoder_layer_norm_first": config.do_stable_layer_norm,
        "encoder_layer_drop": 0.0,
        "aux_num_out": None,
    }
    state = {_torchaudio_name(k): v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    state.pop("masked_spec_embed", None)
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / "arguments.json").write_text(json.dumps(arguments, indent=2) + "\n", encoding="utf-8")
    carry_front(encoder, spec, folder, settings)
    imports = (
        "import json",
        "from pathlib import Path",
        "import torchaudio",
        "from safetensors.torch import load_file",
    )
    return page(
        folder,
        begin(folder, *imports)
        + 'arguments = json.loads(Path(folder, "arguments.json").read_text())\n'
        + "model = torchaudio.models.wav2vec2_model(**arguments).eval()\n"
        + f'model.load_state_dict(load_file(f"{{folder}}/{WEIGHTS}"))\n'
        + _of_wave(encoder, "model(wave[None])[0]")
        + EMBED,
    )


def _torchaudio_name(name: str) -> str:
    if name.startswith("feature_projection."):
        return f"encoder.{name}"
    return f"encoder.transformer.{name.removeprefix('encoder.')}" if name.startswith("encoder.") else name


# ---------------------------------------------------------------------------------------------- AST


def ast(encoder: Any, spec: AudioSpec, folder: Path, settings: Settings = None) -> str:
    """A transformers folder of an ``ASTModel`` for clips of the longest view."""
    from transformers import ASTModel

    side, folder = encoder.patch[0], Path(folder)
    steps = max(1, spec.frames(spec.longest) // side)
    model: Any = ASTModel(_ast_config(encoder, spec, steps * side))
    model.load_state_dict(_ast_state(encoder, steps))
    _save(model, folder)
    carry_front(encoder, spec, folder, settings)
    pooled = "found.pooler_output[0]" if encoder.pool == "cls" else f"found.last_hidden_state[0, {PREFIX}:].mean(0)"
    return page(
        folder,
        begin(folder, "from transformers import ASTModel") + "model = ASTModel.from_pretrained(folder).eval()\n"
        "table = model.embeddings.position_embeddings\n"
        f"first, places = table.data[:, :{PREFIX}], "
        f"table.data[:, {PREFIX}:].unflatten(1, ({encoder.bands}, {steps}))\n\n\n"
        "def vector_of(wave):\n"
        f'    x = front["spectrogram"](wave)[: {steps * side}]  # [frames, {spec.mels}]\n'
        f"    here = places[:, :, : len(x) // {side}]  # a shorter clip has the first places of each band\n"
        "    table.data = torch.cat((first, here.flatten(1, 2)), 1)\n"
        "    found = model(x[None])\n"
        f"    return {pooled}\n" + EMBED,
    )


def _ast_config(encoder: ViT, spec: AudioSpec, frames: int) -> Any:
    from transformers import ASTConfig

    block: Any = encoder.blocks[0]
    return ASTConfig(
        hidden_size=encoder.dim,
        num_hidden_layers=len(encoder.blocks),
        num_attention_heads=block.attn.num_heads,
        intermediate_size=block.mlp.fc1.out_features,
        hidden_act="gelu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        layer_norm_eps=encoder.norm.eps,
        patch_size=encoder.patch[0],
        frequency_stride=encoder.patch[0],
        time_stride=encoder.patch[1],
        qkv_bias=True,
        max_length=frames,
        num_mel_bins=spec.mels,
    )


def _ast_state(encoder: ViT, steps: int) -> dict[str, torch.Tensor]:
    """Our weights under AST's names. AST goes through its patches band by band, we step by step."""
    side, bands, width = encoder.patch[0], encoder.bands, encoder.dim
    place = sincos(step_layout((steps,), bands, torch.device("cpu")).position, width)
    place = place.unflatten(0, (steps, bands)).transpose(0, 1).flatten(0, 1)
    patch = encoder.embed.weight.detach().cpu().unflatten(1, (side, side)).transpose(1, 2)[:, None]
    prefix = encoder.prefix.detach().cpu()
    state = {
        "embeddings.cls_token": prefix[None, :1],
        "embeddings.distillation_token": prefix[None, 1:],
        "embeddings.position_embeddings": torch.cat((torch.zeros(PREFIX, width), place))[None],
        "embeddings.patch_embeddings.projection.weight": patch,
        "embeddings.patch_embeddings.projection.bias": encoder.embed.bias,
        "layernorm.weight": encoder.norm.weight,
        "layernorm.bias": encoder.norm.bias,
    }
    names = {"norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.o_proj"}
    names |= {"mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
    for number, block in enumerate(encoder.blocks):
        for key, value in block.state_dict().items():
            layer, _, kind = key.rpartition(".")
            if layer == "attn.qkv":
                for letter, part in zip("qkv", value.chunk(3), strict=True):
                    state[f"layers.{number}.attention.{letter}_proj.{kind}"] = part
            else:
                state[f"layers.{number}.{names[layer]}.{kind}"] = value
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def _save(model: Any, folder: Path) -> None:
    """The folder, without transformers' bar over one file."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
    finally:
        if shown:
            logging.enable_progress_bar()
