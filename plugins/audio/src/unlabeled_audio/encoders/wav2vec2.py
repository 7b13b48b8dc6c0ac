"""The wav2vec 2.0 / HuBERT encoder: convolutions over the waveform, then a Transformer with convolutional positions.

wav2vec 2.0 https://arxiv.org/abs/2006.11477, HuBERT https://arxiv.org/abs/2106.07447. The model is transformers' own
``Wav2Vec2Model``, so its weights, ``HubertModel``'s and torchaudio's load into it and leave it
(``export/transformers.py``); what runs is its layers on packed rows. Convolutions see all clips end to end, each from a
multiple of the stride on, and what reaches over a border is left out, so nothing is spent on padding; statistics of
GroupNorm are those of each clip alone, where the libraries' move by 20 % with padding.

Hidden rows get the mask token after the convolutions, as in the papers. With ``norm`` group the mean and deviation of a
clip's first features cover hidden rows too, as in the Base models; layer leaks nothing. Rows that are dropped are left
out after positions are added.

    # B clips, S samples, T packed rows, G clips, L rows of the longest, C channels, D features
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2Model

from unlabeled.contract import Features, Hide, Layout, View
from unlabeled.nn.rows import drop, edit
from unlabeled.transfer import numbers
from unlabeled_audio.batch import AudioBatch, AudioSpec, spread, starts, within
from unlabeled_audio.encoders.rows import AudioEncoder, AudioFeatures, ConvStack, attend, state, step_layout
from unlabeled_audio.ops.frontends import Spectrogram

KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # 20 ms a row at 16 kHz


def settle(lengths: Sequence[int], stride: int, window: int) -> tuple[tuple[int, ...], int]:
    """Where each clip begins when clips lie end to end, each at a multiple of the stride; and the whole length.

    A clip that is shorter than the window is given the window's room.
    """
    begin, place = [], 0
    for length in lengths:
        begin.append(place)
        place += -(-max(length, window) // stride) * stride
    return tuple(begin), place + window


def lay_out(wave: Tensor, lengths: Sequence[int], begin: Sequence[int], total: int) -> Tensor:
    """``[1, 1, total]``: clips at their places, zeros between them."""
    here = numbers([b - s for b, s in zip(begin, starts(lengths), strict=True)], wave.device)
    counts = numbers(lengths, wave.device)
    index = torch.arange(len(wave), device=wave.device)
    index = index + here.repeat_interleave(counts, output_size=len(wave))
    return wave.new_zeros(total).index_copy(0, index, wave)[None, None]


def group_norm(x_1CS: Tensor, owner_S: Tensor, counts: Sequence[int], norm: nn.GroupNorm) -> Tensor:
    """GroupNorm with a group a channel over each clip's own steps. ``owner_S``: the clip of a step, G for none."""
    x_SC = x_1CS[0].T.float()
    size = numbers([*counts, 1], x_SC.device)[:, None]
    width = (len(counts) + 1, x_SC.shape[1])
    mean = x_SC.new_zeros(width).index_add(0, owner_S, x_SC) / size
    centered = x_SC - mean[owner_S]
    variance = x_SC.new_zeros(width).index_add(0, owner_S, centered.square()) / size
    y = centered * torch.rsqrt(variance + norm.eps)[owner_S]
    return (y * norm.weight + norm.bias).to(x_1CS.dtype).T[None]


class Wav2Vec2(AudioEncoder):
    """wav2vec 2.0's and HuBERT's encoder.

    Args:
        width: D, features of a row, a multiple of heads (768 is Base).
        depth: number of Transformer layers (12 is Base).
        heads: attention heads.
        hidden: features inside the perceptron of a layer; 0 = 4 times the width.
        channels: of the convolutions, C (512 is Base).
        kernels: of the convolutions, in steps; empty = the papers', without the last below 12 kHz.
        strides: of the convolutions, in steps; empty = the papers', likewise.
        norm: after convolutions: layer, or group, as in the Base models (after the first alone).
        order: of norms in a layer: pre, as in the Large models, or post, as in the Base models.
        positions: kernel of the positional convolution, in rows; 16 groups, or as many as divide the width.
        dropout: in layers and before them.
        pretrained: folder of a transformers' Wav2Vec2Model or HubertModel to start from, or of torchaudio's state dict
            as ``export --to torchaudio`` writes it; its sizes replace those here.
    """

    def __init__(
        self,
        spec: AudioSpec,
        *,
        width: int = 192,
        depth: int = 4,
        heads: int = 4,
        hidden: int = 0,
        channels: int = 128,
        kernels: tuple[int, ...] = (),
        strides: tuple[int, ...] = (),
        norm: Literal["layer", "group"] = "layer",
        order: Literal["pre", "post"] = "pre",
        positions: int = 32,
        dropout: float = 0.0,
        pretrained: str = "",
    ) -> None:
        super().__init__()
        if pretrained:
            model = load(pretrained)
        else:
            if min(width, depth, heads, channels, positions) < 1 or width % heads or hidden < 0:
                raise ValueError(f"width {width}, depth {depth}, heads {heads}, channels {channels}: from 1 on")
            count = 7 if spec.rate >= 12000 else 6
            stack = ConvStack(kernels or KERNELS[:count], strides or STRIDES[:count])
            config = Wav2Vec2Config(
                hidden_size=width,
                num_hidden_layers=depth,
                num_attention_heads=heads,
                intermediate_size=hidden or 4 * width,
                conv_dim=(channels,) * len(stack.kernels),
                conv_kernel=stack.kernels,
                conv_stride=stack.strides,
                conv_bias=norm == "layer",
                feat_extract_norm=norm,
                do_stable_layer_norm=order == "pre",
                num_conv_pos_embeddings=positions,
                num_conv_pos_embedding_groups=next(g for g in (16, 8, 4, 2, 1) if width % g == 0),
                hidden_dropout=dropout,
                attention_dropout=dropout,
                activation_dropout=dropout,
                feat_proj_dropout=dropout,
            )
            model = Wav2Vec2Model(quiet(config))
        self.spec, self.model = spec, model
        config = model.config
        self.stack = ConvStack(config.conv_kernel, config.conv_stride)
        self.window, self.stride = self.stack.window, self.stack.stride
        if spec.longest < self.window:
            raise ValueError(f"views of {spec.longest} samples are shorter than a row's window of {self.window}")
        self.dim, self.local_dim, self.cell = config.hidden_size, config.conv_dim[-1], spec.mels
        self.front = Spectrogram(replace(spec, front="logmel"), self.window, self.stride)
        self.can = frozenset({"tokens", "mask", "drop", "swap", "layers", "local"})

    @property
    def mask_token(self) -> Tensor:
        """transformers' own."""
        found: Tensor = self.model.masked_spec_embed
        return found

    @property
    def embed(self) -> nn.Module:
        """Convolutions and what brings them to the Transformer's width."""
        return nn.ModuleList((self.model.feature_extractor, self.model.feature_projection))

    @property
    def blocks(self) -> nn.Module:
        """The Transformer's layers."""
        return self.model.encoder.layers

    def layout(self, batch: AudioBatch) -> Layout:
        return step_layout(self.stack.steps(batch.lengths), 1, batch.wave.device)

    def bare(self, view: View) -> tuple[Tensor, None]:
        """Tokens of transformers' model alone, clip by clip: together, it would need padding."""
        batch: Any = view.batch
        return torch.cat([self.model(clip[None]).last_hidden_state[0] for clip in batch.clips()]), None

    def convolve(self, batch: AudioBatch) -> Tensor:
        """``[T, C]``: what the convolutions give for each row."""
        begin, total = settle(batch.lengths, self.stride, self.window)
        sizes = [max(n, self.window) for n in batch.lengths]  # a shorter clip is filled up to one row
        x = lay_out(batch.wave, batch.lengths, begin, total)
        jump = 1
        for layer, kernel, stride in zip(
            self.model.feature_extractor.conv_layers, self.stack.kernels, self.stack.strides, strict=True
        ):
            x, jump = layer.conv(x), jump * stride
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                owner, counts = owners(sizes, begin, jump, kernel, x.shape[2], x.device)
                x = group_norm(x, owner, counts, norm)
            elif norm is not None:
                x = norm(x.transpose(1, 2)).transpose(1, 2)
            x = layer.activation(x)
        steps = self.stack.steps(batch.lengths)
        first = spread(numbers([b // self.stride for b in begin], x.device), steps)
        return x[0].T[first + within(steps, x.device)]

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        batch: Any = view.batch
        if batch.mel is not None:
            raise ValueError("these views alter spectrograms, and wav2vec2 reads the waveform: choose others (--views)")
        layout = view.layout or self.layout(batch)
        local = self.convolve(batch)
        normed, x = self._project(local)
        x = edit(x, view, hide, self.mask_token)
        x = x + self._positions(x, view, layout, hide)
        x, layout, kept = drop(x, view, layout, hide)
        encoder, pre = self.model.encoder, self.model.config.do_stable_layer_norm
        x = encoder.dropout(x if pre else encoder.layer_norm(x))
        states = []
        for layer in encoder.layers:
            x, feed = through(layer, x, layout, pre)
            states.append(state(x, layout, kept, feed))
        x = encoder.layer_norm(x) if pre else x
        found = tuple(states[number] for number in layers)
        return AudioFeatures(x, layout, layout.mean(x), kept, layers=found, local=local, normed=normed)

    def _project(self, local: Tensor) -> tuple[Tensor, Tensor]:
        """The convolutions' features after LayerNorm, and at the Transformer's width."""
        project = self.model.feature_projection
        normed = project.layer_norm(local)
        return normed, project.dropout(project.projection(normed))

    def _positions(self, x_TD: Tensor, view: View, layout: Layout, hide: Hide) -> Tensor:
        """The positional convolution over each clip; rows that will be dropped are silent in it."""
        if view.hidden is not None and hide == "drop":
            x_TD = x_TD * ~view.hidden.flags(layout.total)[:, None]
        embed = self.model.encoder.pos_conv_embed
        y = embed.activation(embed.padding(embed.conv(layout.dense(x_TD)[0].transpose(1, 2))))
        return layout.pack(y.transpose(1, 2))


def through(layer: Any, x_TD: Tensor, layout: Layout, pre: bool) -> tuple[Tensor, Tensor]:
    """transformers' layer on packed rows, and what its feed-forward part added; ``pre``: norms come first."""
    attention = layer.attention
    y = layer.layer_norm(x_TD) if pre else x_TD
    qkv = torch.cat((attention.q_proj(y), attention.k_proj(y), attention.v_proj(y)), dim=1)
    x_TD = x_TD + layer.dropout(attention.out_proj(attend(qkv, layout, attention.num_heads)))
    if not pre:
        x_TD = layer.layer_norm(x_TD)
    feed = layer.feed_forward(layer.final_layer_norm(x_TD) if pre else x_TD)
    return (x_TD + feed if pre else layer.final_layer_norm(x_TD + feed)), feed


def owners(
    lengths: Sequence[int], begin: Sequence[int], jump: int, kernel: int, total: int, device: torch.device
) -> tuple[Tensor, tuple[int, ...]]:
    """The clip of each step after the first convolution, G for those that reach over a border; and steps of each."""
    counts = tuple(max(0, n - kernel) // jump + 1 for n in lengths)
    place = [torch.arange(b // jump, b // jump + n) for b, n in zip(begin, counts, strict=True)]
    clip = torch.arange(len(lengths)).repeat_interleave(torch.tensor(counts))
    owner = torch.full((total,), len(lengths)).index_copy(0, torch.cat(place), clip)
    return owner.to(device), counts


def quiet(config: Any) -> Any:
    """What the library would hide or skip on its own, switched off; the mask token stays a parameter."""
    config.apply_spec_augment, config.layerdrop = False, 0.0
    config.mask_time_prob = config.mask_time_prob or 0.05  # the token exists where this is above 0
    return config


def load(folder: str) -> Any:
    """transformers' model of a folder, HuBERT's weights as wav2vec 2.0's: they have the same names."""
    from transformers import AutoConfig, HubertModel

    if (Path(folder) / "arguments.json").is_file():
        return of_torchaudio(Path(folder))
    try:
        config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
        kind: Any = {"wav2vec2": Wav2Vec2Model, "hubert": HubertModel}.get(config.model_type)
        if kind is None:
            raise ValueError(f"{folder} has a model of type {config.model_type}; it must be wav2vec2 or hubert")
        found = kind.from_pretrained(folder, config=quiet(config), local_files_only=True)
    except OSError as error:
        raise ValueError(f"{folder} holds no transformers model: {str(error).splitlines()[0]}") from error
    if kind is Wav2Vec2Model:
        return found
    values = {k: v for k, v in config.to_dict().items() if k not in ("model_type", "architectures")}
    model = Wav2Vec2Model(Wav2Vec2Config(**values))
    model.load_state_dict(found.state_dict())
    return model


def of_torchaudio(folder: Path) -> Any:
    """The model of torchaudio's ``wav2vec2_model(**arguments)`` and its state dict, with a new mask token."""
    arguments = json.loads((folder / "arguments.json").read_text(encoding="utf-8"))
    channels, kernels, strides = zip(*arguments["extractor_conv_layer_config"], strict=True)
    config = Wav2Vec2Config(
        hidden_size=arguments["encoder_embed_dim"],
        num_hidden_layers=arguments["encoder_num_layers"],
        num_attention_heads=arguments["encoder_num_heads"],
        intermediate_size=arguments["encoder_ff_interm_features"],
        conv_dim=channels,
        conv_kernel=kernels,
        conv_stride=strides,
        conv_bias=arguments["extractor_conv_bias"],
        feat_extract_norm=arguments["extractor_mode"].removesuffix("_norm"),
        do_stable_layer_norm=arguments["encoder_layer_norm_first"],
        num_conv_pos_embeddings=arguments["encoder_pos_conv_kernel"],
        num_conv_pos_embedding_groups=arguments["encoder_pos_conv_groups"],
        hidden_dropout=arguments["encoder_dropout"],
        attention_dropout=arguments["encoder_attention_dropout"],
        activation_dropout=arguments["encoder_ff_interm_dropout"],
        feat_proj_dropout=arguments["encoder_projection_dropout"],
    )
    model = Wav2Vec2Model(quiet(config))
    state = {
        name.replace("encoder.transformer.", "encoder.").replace("encoder.feature_projection", "feature_projection"): v
        for name, v in load_file(folder / "model.safetensors").items()
    }
    model.load_state_dict(state | {"masked_spec_embed": model.masked_spec_embed.detach()})
    return model
