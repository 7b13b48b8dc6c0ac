"""A packed encoder as transformers' own ModernBERT, bidirectional or causal: the same weights by the same names."""

from typing import Any

import torch

THETA_GLOBAL, THETA_LOCAL = 160_000.0, 10_000.0  # bases of the rotary waves


def modern_config(encoder: Any) -> dict[str, Any]:
    """The arguments of ``ModernBertConfig`` that make the same model as a ``modern.Modern``."""
    spec = encoder.spec
    ends = {"bos": spec.prefix[:1], "cls": spec.prefix[:1], "eos": spec.suffix[:1], "sep": spec.suffix[:1]}
    return {
        "vocab_size": spec.vocabulary,
        "hidden_size": encoder.dim,
        "intermediate_size": encoder.inner,
        "num_hidden_layers": len(encoder.layers),
        "num_attention_heads": encoder.heads,
        "max_position_embeddings": max(spec.length, 512),
        "local_attention": encoder.window or 128,
        "layer_types": ["sliding_attention" if layer.attn.window else "full_attention" for layer in encoder.layers],
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": THETA_GLOBAL},
            "sliding_attention": {"rope_type": "default", "rope_theta": THETA_LOCAL},
        },
        "embedding_dropout": encoder.dropout,
        "attention_dropout": encoder.dropout,
        "mlp_dropout": encoder.dropout,
        "pad_token_id": spec.pad,
        **{f"{name}_token_id": ids[0] if ids else None for name, ids in ends.items()},
    }


def modern_model(encoder: Any) -> Any:
    """The encoder as a model of transformers, with copies of its weights, in evaluation mode."""
    from transformers import ModernBertConfig, ModernBertDecoderConfig, ModernBertDecoderModel, ModernBertModel

    values, state = modern_config(encoder), dict(encoder.state_dict())
    if encoder.causal:
        config: Any = ModernBertDecoderConfig(**{k: v for k, v in values.items() if v is not None})
        state = {name: part for key, weight in state.items() for name, part in _split(key, weight)}
    else:
        config = ModernBertConfig(**values)
    with torch.random.fork_rng(devices=[]):  # its own random start is overwritten at once
        model = (ModernBertDecoderModel if encoder.causal else ModernBertModel)(config)
    model.load_state_dict(state, strict=True)
    return model.eval().to(encoder.final_norm.weight.device)


def _split(key: str, weight: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """The decoder of transformers has queries, keys and values apart."""
    if "Wqkv" not in key:
        return [(key, weight)]
    return [(key.replace("Wqkv", f"{name}_proj"), part) for name, part in zip("qkv", weight.chunk(3), strict=True)]
