"""Native export: a folder that plain transformers and sentence-transformers load, without this project.

``model.safetensors``, ``config.json`` and ``tokenizer.json`` are what ``AutoModel`` and ``AutoTokenizer`` read;
``modules.json`` and a pooling make it a ``SentenceTransformer``. ``preprocess.py`` makes token ids of a text as
training did, which ``AutoTokenizer`` may frame otherwise. The lines in ``README.md`` load it.
"""

import json
from pathlib import Path
from typing import Any

from unlabeled.errors import UsageError
from unlabeled.runs.export import carry, readme
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
    asked = {"bytes": not whole, "length": spec.length, "prefix": spec.prefix, "suffix": spec.suffix}
    carry(str(Path(__file__).with_name("preprocess.py")), folder, {**asked, "pool": encoder.pool})
    lines = snippet(str(folder), encoder.pool, whole, both=model.config.is_encoder_decoder)
    about = "Weights for plain transformers and sentence-transformers; `preprocess.py` makes token ids of a text."
    readme(folder / "README.md", type(model).__name__, about, lines)
    return lines


def snippet(folder: str, pool: str, whole: bool, *, both: bool = False) -> str:
    """Python that loads what was written, and embeds texts; of an encoder and decoder (``both``) by the first."""
    reader = "model.get_encoder()" if both else "model"
    loader = "AutoModelForSeq2SeqLM" if both else "AutoModel"
    tokenizer = "AutoTokenizer" if whole else "ByT5Tokenizer"
    call = "tokenizer(texts, padding=True, truncation=True, return_tensors='pt')"
    lines = [
        "import runpy",
        "",
        "import torch",
        f"from transformers import {loader}",
        "",
        f"folder = {folder!r}",
        'text = runpy.run_path(f"{folder}/preprocess.py")',
        f"model = {loader}.from_pretrained(folder).eval()",
        "",
        "",
        "def embed(texts):",
        f'    """float32[N, D], one vector for each text: {pool} of its rows."""',
        "    with torch.no_grad():",
        f'        rows = [{reader}(text["read"](each)[None]).last_hidden_state[0] for each in texts]',
        '    return torch.stack([text["pool"](each) for each in rows])',
    ]
    lines += ["", "", "# or, many at a time:", f"# tokenizer = {tokenizer}.from_pretrained(folder)"]
    if both:
        lines += [f"# tokenizer.batch_decode(model.generate(**{call}, max_new_tokens=64), skip_special_tokens=True)"]
    else:
        lines += [f"# model(**{call}).last_hidden_state"]
    if whole:
        lines += ["# or: SentenceTransformer(folder).encode(texts), by sentence_transformers"]
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
