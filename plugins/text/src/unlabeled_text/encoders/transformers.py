"""Any text model of transformers as an encoder: by its architecture's name with random weights, or from a folder.

Samples of like lengths go through the model together, so that little of its work is padding; with nothing hidden, the
features are the model's own. Encoder-decoders (T5, BART) read the source in their encoder and decode targets.

    # B samples, T packed rows, S packed rows of the source, n samples of a bucket, L its longest, D features, V words
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unlabeled.contract import Features, Hide, Layout, Needs, View
from unlabeled.errors import below_one, near
from unlabeled_text.batch import TextSpec
from unlabeled_text.ops.attention import bucketed, gather, spread
from unlabeled_text.ops.codecs import BYTES, unpack_json
from unlabeled_text.ops.layouts import layout_of, pool_rows, words_of
from unlabeled_text.ops.tokenizing import NO_MASK

SIZES = {
    "width": ("hidden_size", "d_model", "n_embd", "dim"),
    "depth": ("num_hidden_layers", "num_layers", "encoder_layers", "decoder_layers", "n_layer", "n_layers",
              "num_decoder_layers"),
    "heads": ("num_attention_heads", "num_heads", "encoder_attention_heads", "decoder_attention_heads", "n_head",
              "n_heads"),
    "inner": ("intermediate_size", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim", "n_inner", "hidden_dim"),
}  # fmt: skip


def padded(batch: Any, layout: Layout, spec: TextSpec) -> dict[str, Tensor]:
    """What a model of transformers is called with: ids ``[B, L]``, and 1 where there is a token."""
    ids, pad = layout.dense(batch.tokens)
    mask = torch.ones_like(ids) if pad is None else (~pad).long()
    return {"input_ids": ids if pad is None else ids.masked_fill(pad, spec.pad or 0), "attention_mask": mask}


def padded_forward(model: Any, batch: Any, layout: Layout, spec: TextSpec) -> Tensor:
    """``[T, D]``: last hidden states of a model of transformers, called as its users do: padded, with a mask."""
    return layout.pack(model(**padded(batch, layout, spec)).last_hidden_state)


class TransformersEncoder(nn.Module):
    """What all encoders around a model of transformers share; ``model`` is the bare library model."""

    def __init__(self, model: Any, spec: TextSpec, pool: Literal["mean", "first", "last"]) -> None:
        super().__init__()
        self.model, self.spec, self.pool = model, spec, pool
        config = model.config
        self.two = bool(config.is_encoder_decoder)
        self.dim = int(config.hidden_size)
        self.causal = _is_causal(config)
        self.dropout = _dropout(config)
        self.cannot = {} if spec.mask is not None else {"mask": NO_MASK}
        self.can = frozenset({"tokens", "swap", "layers"} | ({"mask"} if spec.mask is not None else set()))

    @property
    def reader(self) -> Any:
        """The part that reads a text."""
        return self.model.get_encoder() if self.two else self.model

    def prepare(self, needs: Needs) -> None:
        """Called by core with the objective's needs: the decoder learns only where there are targets."""
        if self.two:
            own = {id(p) for p in self.reader.parameters()} | {id(self.word_embeddings())}
            for parameter in self.model.parameters():
                if id(parameter) not in own:
                    parameter.requires_grad_("target" in needs.views)

    def layout(self, batch: Any) -> Layout:
        """A row a token, specials among them."""
        return layout_of(batch, self.spec)

    def word_embeddings(self) -> nn.Parameter:
        """``[V, E]``: the input's word vectors, for heads that share them."""
        weight: nn.Parameter = self.model.get_input_embeddings().weight
        return weight

    def embed(self, view: View) -> Tensor:
        """``[T, E]``: word vectors of a view, before anything mixes rows."""
        words = words_of(view, view.layout or self.layout(view.batch), self.spec.mask)
        x_TE: Tensor = self.model.get_input_embeddings()(words)
        return x_TE

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        if view.hidden is not None and hide not in self.can:
            why = "cannot drop rows" if hide == "drop" else "has no mask token in its vocabulary"
            raise ValueError(f"{self.model.config.model_type} {why}: hide={hide!r}")
        layout = view.layout or self.layout(view.batch)
        return self._features("input_ids", words_of(view, layout, self.spec.mask), layout, layers)

    def from_embeddings(self, x_TE: Tensor, layout: Layout) -> Features:
        """Features of word vectors ``[T, E]``."""
        return self._features("inputs_embeds", x_TE, layout, ())

    def _features(self, name: str, x_T: Tensor, layout: Layout, layers: Sequence[int]) -> Features:
        buckets = bucketed(layout)
        last, states = [], []
        for part, keys in zip(spread(x_T, buckets), buckets.keys, strict=True):
            mask = torch.ones(part.shape[:2], dtype=torch.int64, device=part.device)
            if keys is not None:
                mask = keys[:, 0, 0].long()
                if name == "input_ids":
                    part = part.masked_fill(mask == 0, self.spec.pad or 0)
            out = self.reader(**{name: part, "attention_mask": mask, "output_hidden_states": bool(layers)})
            last.append(out.last_hidden_state)
            states.append(out.hidden_states[1:] if layers else ())

        def features(parts: list[Tensor]) -> Features:
            x_TD = gather(parts, buckets)
            return Features(x_TD, layout, pool_rows(x_TD, layout, self.pool))

        made = tuple(features([state[number] for state in states]) for number in layers)
        out = features(last)
        return Features(out.tokens, layout, out.pooled, layers=made)

    def decode(self, words_T: Tensor, layout: Layout, source: Features) -> Tensor:
        """Logits ``[T, V]`` of each word of a target from those before it and from the source's rows."""
        if not self.two:
            raise ValueError(f"{self.model.config.model_type} has no decoder; t5 and bart have")
        from transformers.modeling_outputs import BaseModelOutput

        memory, pad = source.layout.dense(source.tokens)
        seen = torch.ones(memory.shape[:2], dtype=torch.int64, device=memory.device) if pad is None else (~pad).long()
        words, _ = layout.dense(words_T)
        start = words.new_full((len(words), 1), self.model.config.decoder_start_token_id)
        # what stands at padding comes after all words of a target, so no word sees it
        out = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=memory),
            attention_mask=seen,
            decoder_input_ids=torch.cat((start, words[:, :-1]), dim=1),
            use_cache=False,
        )
        return layout.pack(out.logits)

    @torch.no_grad()
    def generate(self, batch: Any, *, most: int, beams: int = 1) -> list[list[int]]:
        """What the decoder writes of each text, its likeliest word each time, up to the end token; without the start.

        Args:
            most: most tokens of a text that is written.
            beams: texts that are followed at a time; 1 = greedy.
        """
        start, ends = self.model.config.decoder_start_token_id, self.spec.suffix[:1]
        inputs = padded(batch, self.layout(batch), self.spec)
        found = self.model.generate(**inputs, max_new_tokens=most, num_beams=beams, do_sample=False)
        rows = [row[1:] if row[:1] == [start] else row for row in found.tolist()]
        return [list(takewhile(lambda token: token not in ends, row)) for row in rows]

    def bare(self, view: View) -> tuple[Tensor, Tensor]:
        """Tokens and pooled vector of the library's model alone, padded: the conformance kit compares."""
        layout = self.layout(view.batch)
        x_TD = padded_forward(self.reader, view.batch, layout, self.spec)
        return x_TD, pool_rows(x_TD, layout, self.pool)

    def library_model(self) -> Any:
        """The model of transformers: what is exported."""
        return self.model


def _is_causal(config: Any) -> bool:
    from transformers.models.auto import modeling_auto as auto

    kind = config.model_type
    causal, masked = auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return bool(
        getattr(config, "is_decoder", False)
        or (kind in causal and kind not in masked and not config.is_encoder_decoder)
    )


def _dropout(config: Any) -> float:
    """The greatest dropout probability of a model."""
    found = [v for k, v in config.to_dict().items() if "drop" in k and "class" not in k]
    return float(max((v for v in found if isinstance(v, (int, float)) and not isinstance(v, bool)), default=0.0))


# ---------------------------------------------------------------------------------------------- making models


class Transformers(TransformersEncoder):
    """A text model of transformers: an architecture's name with random weights, or a folder with trained ones.

    Args:
        width: D, of a model with random weights; 0 = the architecture's own.
        depth: layers of a model with random weights; 0 = the architecture's own.
        heads: attention heads of a model with random weights; 0 = the architecture's own.
        inner: width inside the perceptrons of a model with random weights; 0 = four times width, where width is given.
        dropout: share of activations set to zero in training, in [0, 1); -1 = the model's own.
        pool: one vector a sample: mean of all rows, the first ([CLS]), or the last.
        pretrained: download weights of that name from the hub.
        config: the model's configuration as JSON, in place of folder and sizes; a saved encoder has it.
    """

    def __init__(
        self,
        model: str,
        spec: TextSpec,
        *,
        width: int = 0,
        depth: int = 0,
        heads: int = 0,
        inner: int = 0,
        dropout: float = -1.0,
        pool: Literal["mean", "first", "last"] = "mean",
        pretrained: bool = False,
        config: str = "",
    ) -> None:
        if min(width, depth, heads, inner) < 0 or not (dropout == -1 or 0 <= dropout < 1):
            raise ValueError(f"sizes must be at least 0, and dropout -1 or in [0, 1); found dropout {dropout}")
        sizes = {"width": width, "depth": depth, "heads": heads, "inner": inner or 4 * width}
        folder = Path(model) if Path(model).is_dir() else None
        made = from_config(config) if config else known(model, folder, pretrained)
        if config or (folder is None and not pretrained):
            if not config:
                fit(made, spec, sizes)
            _drop(made, dropout)
            super().__init__(_random(made), spec, pool)
            self.resolved = _resolved(self.model.config)
            return
        if any((width, depth, heads, inner)):
            raise ValueError(
                f"{model} has trained weights, so its sizes are given: leave width, depth, heads, inner at 0"
            )
        check_fit(made, spec, folder)
        _drop(made, dropout)
        super().__init__(_trained(model, made), spec, pool)
        self.resolved = _resolved(self.model.config)


def _resolved(config: Any) -> dict[str, Any]:
    """Settings that make the same model again, without its folder: an encoder is saved with them."""
    values = {**config.to_diff_dict(), "model_type": config.model_type}
    values.pop("_name_or_path", None)
    return {
        "config": json.dumps(values, default=str),
        "pretrained": False,
        "width": 0,
        "depth": 0,
        "heads": 0,
        "inner": 0,
    }


class Seq2Seq(TransformersEncoder):
    """A small T5 of transformers (gated GELU, as v1.1) with random weights: encoder, and decoder for targets.

    Args:
        width: D, a multiple of heads.
        depth: layers of the encoder, and of the decoder.
        heads: attention heads; 0 = one for each 32 features.
        dropout: share of activations set to zero in training, in [0, 1).
        pool: one vector a sample: mean of all rows, the first, or the last.
    """

    def __init__(
        self,
        spec: TextSpec,
        *,
        width: int = 128,
        depth: int = 3,
        heads: int = 0,
        dropout: float = 0.1,
        pool: Literal["mean", "first", "last"] = "mean",
    ) -> None:
        heads = heads or max(1, width // 32)
        if min(width, depth) < 1 or width % heads:
            raise ValueError(f"width {width}, depth {depth}, heads {heads}: sizes from 1 on, width a multiple of heads")
        below_one(dropout=dropout)
        made = from_config(json.dumps({"model_type": "t5", "feed_forward_proj": "gated-gelu", "d_kv": width // heads}))
        fit(made, spec, {"width": width, "depth": depth, "heads": heads, "inner": 2 * width})
        made.dropout_rate = dropout
        super().__init__(_random(made), spec, pool)


def from_config(text: str) -> Any:
    """A configuration of transformers from its JSON."""
    from transformers import AutoConfig

    try:
        values = json.loads(text)
        return AutoConfig.for_model(**values)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"config is no configuration of transformers: {error}") from error


def known(model: str, folder: Path | None, pretrained: bool) -> Any:
    """The configuration of a folder, of a name on the hub, or of an architecture."""
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if folder is None and not pretrained:
        if model not in CONFIG_MAPPING_NAMES:
            raise ValueError(
                f"{model!r} is neither a folder nor an architecture of transformers.{near(model, CONFIG_MAPPING_NAMES)}"
                " To download it from the hub, set pretrained"
            )
        return AutoConfig.for_model(model)
    try:
        return AutoConfig.from_pretrained(model, local_files_only=folder is not None)
    except (OSError, ValueError) as error:
        raise ValueError(f"transformers finds no model in {model}: {str(error).splitlines()[0]}") from error


def fit(config: Any, spec: TextSpec, sizes: dict[str, int]) -> None:
    """Set sizes, vocabulary, length and special tokens of a configuration whose weights will be random."""
    for kind, value in sizes.items():
        for name in SIZES[kind]:
            if value and hasattr(config, name):
                setattr(config, name, value)
    if sizes["width"] and hasattr(config, "d_kv"):
        config.d_kv = sizes["width"] // config.num_attention_heads
    if sizes["width"] and hasattr(config, "embedding_size"):
        config.embedding_size = sizes["width"]
    config.vocab_size = spec.vocabulary
    pad = spec.pad or 0
    if hasattr(config, "max_position_embeddings"):
        config.max_position_embeddings = max(config.max_position_embeddings, spec.length + pad + 16)
    config.pad_token_id = pad
    config.bos_token_id = spec.prefix[0] if spec.prefix else pad
    config.eos_token_id = spec.suffix[0] if spec.suffix else pad
    if config.is_encoder_decoder:
        config.decoder_start_token_id = pad
    for name in (
        "forced_bos_token_id",
        "forced_eos_token_id",
    ):  # ids of another vocabulary, which generation would force
        if getattr(config, name, None) is not None:
            setattr(config, name, None)


def check_fit(config: Any, spec: TextSpec, folder: Path | None) -> None:
    """``ValueError`` where a trained model and the data's tokenizer do not belong together."""
    if config.vocab_size < spec.vocabulary:
        raise ValueError(
            f"the data's tokenizer has {spec.vocabulary:,} ids and the model {config.vocab_size:,}: read the data with "
            f"the model's own, --data.tokenizer {folder or 'FOLDER'}"
        )
    most = getattr(config, "max_position_embeddings", 0) or 0
    if 0 < most < spec.length:
        raise ValueError(
            f"the model reads {most} tokens at most, and samples have up to {spec.length}: --data.length {most}"
        )
    file = None if folder is None else folder / "tokenizer.json"
    if file is None or not file.is_file() or spec.tokenizer == BYTES:
        return
    ours = json.loads(unpack_json(spec.tokenizer))["model"].get("vocab")
    if ours != json.loads(file.read_text(encoding="utf-8"))["model"].get("vocab"):
        raise ValueError(f"the data's tokenizer is not the one of {folder}: --data.tokenizer {folder}")


def _drop(config: Any, dropout: float) -> None:
    """Set every dropout probability of a configuration; -1 leaves them."""
    for name, value in config.to_dict().items():
        if "layerdrop" in name and dropout > 0:
            continue  # whole layers are no share of activations; none is dropped where nothing is
        if dropout >= 0 and "drop" in name and isinstance(value, (int, float)) and not isinstance(value, bool):
            setattr(config, name, dropout)


def _random(config: Any) -> Any:
    """A model with random weights, by torch's generator; without a pooler, which no objective here would train."""
    from transformers import AutoModel, AutoModelForSeq2SeqLM

    try:
        if config.is_encoder_decoder:
            return AutoModelForSeq2SeqLM.from_config(config)
        try:
            return AutoModel.from_config(config, add_pooling_layer=False)
        except TypeError:
            return AutoModel.from_config(config)
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"transformers cannot make {config.model_type}: {error}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars of transformers, which last for less than a second."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _trained(model: str, config: Any) -> Any:
    """A model with the weights of a folder, or of the hub."""
    from transformers import AutoModel, AutoModelForSeq2SeqLM

    kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModel
    options: dict[str, Any] = {"config": config, "local_files_only": Path(model).is_dir()}
    bare = {} if config.is_encoder_decoder else {"add_pooling_layer": False}
    try:
        with quiet():
            try:
                return kind.from_pretrained(model, **options, **bare)
            except TypeError:
                return kind.from_pretrained(model, **options)
    except OSError as error:
        raise ValueError(f"transformers cannot load {model}: {str(error).splitlines()[0]}") from error
