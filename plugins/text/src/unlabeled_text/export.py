"""Native export: a folder that plain transformers and sentence-transformers load, without this project.

``model.safetensors``, ``config.json`` and ``tokenizer.json`` are what ``AutoModel`` and ``AutoTokenizer`` read;
``modules.json`` and a pooling make it a ``SentenceTransformer``. The lines in ``README.md`` load it.
"""

import json
from pathlib import Path
from typing import Any

from unlabeled.errors import UsageError
from unlabeled_text.batch import TextSpec
from unlabeled_text.encoders.transformers import quiet
from unlabeled_text.ops.codecs import BYTE_EXTRA, BYTE_TOTAL, BYTES, unpack_json

MODULES = (("", "Transformer"), ("1_Pooling", "Pooling"))


def native(encoder: Any, spec: TextSpec, folder: Path) -> str:
    """Write model, tokenizer and pooling into ``folder``; returns the lines of Python that load them."""
    if not hasattr(encoder, "library_model"):
        raise UsageError(f"{type(encoder).__name__} is no model of transformers, so it has no native export")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model = encoder.library_model()
    with quiet():
        model.save_pretrained(folder)
    _write_tokenizer(spec, folder)
    whole = spec.tokenizer != BYTES
    if whole:
        _write_modules(encoder, spec, folder)
    lines = snippet(str(folder), encoder.pool, whole, model.config.is_encoder_decoder)
    title = f"# {type(model).__name__}\n\nWeights for plain transformers and sentence-transformers."
    (folder / "README.md").write_text(f"{title}\n\n```python\n{lines}\n```\n", encoding="utf-8")
    return lines


def snippet(folder: str, pool: str, whole: bool, generates: bool) -> str:
    """Python that loads what was written; ``whole`` where SentenceTransformer does too."""
    model, tokenizer = (
        "AutoModelForSeq2SeqLM" if generates else "AutoModel",
        "AutoTokenizer" if whole else "ByT5Tokenizer",
    )
    call = "tokenizer(texts, padding=True, truncation=True, return_tensors='pt')"
    write = f"tokenizer.batch_decode(model.generate(**{call}, max_new_tokens=64), skip_special_tokens=True)"
    lines = [
        f"from transformers import {model}, {tokenizer}",
        "",
        f"model = {model}.from_pretrained({folder!r})",
        f"tokenizer = {tokenizer}.from_pretrained({folder!r})",
        f"# {write}" if generates else f"# model(**{call}).last_hidden_state",
    ]
    if whole:
        lines += [
            "",
            "# or, pooled and ready to compare:",
            "# from sentence_transformers import SentenceTransformer",
            f"# SentenceTransformer({folder!r}).encode(texts)  # {pool} of the rows",
        ]
    return "\n".join(lines)


def _write_tokenizer(spec: TextSpec, folder: Path) -> None:
    """``tokenizer.json`` as it was used, and its special tokens by the names that transformers knows; or ByT5's."""
    from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

    if spec.tokenizer == BYTES:
        ByT5Tokenizer(extra_ids=BYTE_TOTAL - BYTE_EXTRA, model_max_length=spec.length).save_pretrained(folder)
        return
    (folder / "tokenizer.json").write_text(unpack_json(spec.tokenizer), encoding="utf-8")
    words = spec.words_of_vocabulary()
    named = {"pad_token": spec.pad, "mask_token": spec.mask, "unk_token": spec.unknown}
    named |= {"cls_token": spec.prefix[0]} if spec.prefix else {}
    named |= {"sep_token" if spec.prefix else "eos_token": spec.suffix[0]} if spec.suffix else {}
    if spec.pad is None and spec.suffix:
        named["pad_token"] = spec.suffix[0]  # GPT-2 has none: attention masks keep it out
    PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        model_max_length=spec.length,
        model_input_names=["input_ids", "attention_mask"],
        **{name: words[i] for name, i in named.items() if i is not None},
    ).save_pretrained(folder)


def _write_modules(encoder: Any, spec: TextSpec, folder: Path) -> None:
    """The files of a SentenceTransformer: the model, then a pooling."""
    modules = [{"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
               for n, (path, kind) in enumerate(MODULES)]  # fmt: skip
    (folder / "1_Pooling").mkdir(exist_ok=True)
    _json(folder / "modules.json", modules)
    _json(folder / "sentence_bert_config.json", {"max_seq_length": spec.length, "do_lower_case": False})
    kinds = {"mean": "mean_tokens", "first": "cls_token", "last": "lasttoken"}
    chosen = {f"pooling_mode_{kind}": pool == encoder.pool for pool, kind in kinds.items()}
    _json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": encoder.dim, **chosen})


def _json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
