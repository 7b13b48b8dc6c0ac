"""The spec of a tokenizer: one trained on the data, any ``tokenizer.json``, or plain bytes.

Byte-pair encoding (https://arxiv.org/abs/1508.07909), WordPiece (https://arxiv.org/abs/1609.08144) and Unigram
(https://arxiv.org/abs/1804.10959) are those of the `tokenizers` library.
"""

import contextlib
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from unlabeled.config.implied import located
from unlabeled.errors import UsageError
from unlabeled_text.batch import TextSpec
from unlabeled_text.data.store import cache_home, texts_hash
from unlabeled_text.ops.codecs import BYTE_EXTRA, BYTE_TOTAL, BYTES, Json, codec_of, pack_json, unpack_json

Kind = Literal["bpe", "wordpiece", "unigram"]
NAMES = {
    "pad": ("[PAD]", "<pad>", "<|padding|>", "[pad]"),
    "mask": ("[MASK]", "<mask>", "[mask]"),
    "unknown": ("[UNK]", "<unk>", "[unk]"),
}
NO_MASK = (
    f"the tokenizer has no mask token ({', '.join(NAMES['mask'])} are looked for); add one to it, or choose another "
    "with --data.tokenizer"
)
ENDS = ("</s>", "<|endoftext|>", "<eos>", "[EOS]")
MODES = ("[NLU]", "[S2S]", "[NLG]")  # UL2's R, S and X
ALPHABET = 512  # most characters of a WordPiece vocabulary
EXTRA, SHORT = (
    32,
    6,
)  # sentinels of a tokenizer that is trained here: the least, and texts' tokens to each (UL2: half in 3s)


def byte_spec(length: int) -> TextSpec:
    """The spec of plain bytes, with ByT5's ids."""
    extra = range(BYTE_EXTRA, BYTE_TOTAL)
    return TextSpec(
        BYTE_TOTAL, length, (), (1,), 0, extra[103], 2, tuple(extra[:100]), tuple(extra[100:103]), tokenizer=BYTES
    )


def json_spec(text: str, length: int) -> TextSpec:
    """The spec of a tokenizer.json: its specials are found by their usual names, its frame by encoding a letter."""
    packed = pack_json(text)
    codec = codec_of(packed)
    assert isinstance(codec, Json)
    tokenizer = codec.tokenizer
    single = {kind: next((i for n in names if (i := tokenizer.token_to_id(n)) is not None), None)
              for kind, names in NAMES.items()}  # fmt: skip
    prefix, suffix = _frame(tokenizer)
    if not prefix and not suffix:
        suffix = tuple(i for name in ENDS if (i := tokenizer.token_to_id(name)) is not None)[:1]
    extra = [(int(m[1]), i) for token, i in tokenizer.get_vocab().items()
             if (m := re.fullmatch(r"<extra_id_(\d+)>", token))]  # fmt: skip
    modes = tuple(i for name in MODES if (i := tokenizer.token_to_id(name)) is not None)
    size = max(tokenizer.get_vocab().values()) + 1
    return TextSpec(
        size, length, prefix, suffix, single["pad"], single["mask"], single["unknown"],
        tuple(i for _, i in sorted(extra)), modes if len(modes) == len(MODES) else (), tokenizer=packed,
    )  # fmt: skip


def _frame(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids that the tokenizer's own template puts before and after a text."""
    found = tokenizer.encode("a", add_special_tokens=True)
    special = found.special_tokens_mask
    plain = [n for n, flag in enumerate(special) if not flag]
    if not plain:
        return (), ()
    return tuple(found.ids[: plain[0]]), tuple(found.ids[plain[-1] + 1 :])


def spec_of(tokenizer: str, length: int, vocabulary: int, texts: Iterable[str]) -> TextSpec:
    """The spec of a data setting: ``bytes``, a kind to train on ``texts``, a tokenizer.json, its folder, or packed."""
    if tokenizer == BYTES:
        return byte_spec(length)
    if tokenizer in ("bpe", "wordpiece", "unigram"):
        return json_spec(trained(tokenizer, list(texts), vocabulary, sentinels_for(length)), length)  # type: ignore[arg-type]
    path = tokenizer_file(tokenizer)
    if path is not None and (path.exists() or path.suffix == ".json"):
        text = _read(path)
        packed = spec_in(text)
        return json_spec(text if packed is None else unpack_json(packed), length)
    if len(tokenizer) < 1024:
        raise UsageError(
            f"tokenizer {tokenizer!r} is neither bpe, wordpiece, unigram (trained on the data), bytes, nor a "
            "tokenizer.json or a folder that has one"
        )
    return json_spec(unpack_json(tokenizer), length)


def tokenizer_file(tokenizer: str) -> Path | None:
    """The file that a setting means: itself, or in a folder tokenizer.json or the config.json of an encoder; None of
    one that names no file."""
    if len(tokenizer) >= 1024:
        return None
    path = Path(located(tokenizer))
    for inside in ("tokenizer.json", "encoder/config.json", "config.json"):
        if path.is_dir() and (path / inside).is_file():
            return path / inside
    return path / "tokenizer.json" if path.is_dir() else path


def spec_in(text: str) -> str | None:
    """The packed tokenizer in the ``config.json`` of an encoder; None where the text is none."""
    try:
        found = json.loads(text)["spec"]["tokenizer"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(found)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as a tokenizer.json: {error}") from error


# ---------------------------------------------------------------------------------------------- training


def sentinels_for(length: int) -> int:
    """How many sentinels texts of ``length`` tokens ask for: UL2 hides half of them in threes, one of them cut."""
    return max(EXTRA, -(-length // SHORT) + 1)


def trained(kind: Kind, texts: Sequence[str], vocabulary: int, sentinels: int = EXTRA) -> str:
    """:func:`train`; a Unigram is kept in the cache, and taken from there.

    The library's Unigram differs a little from process to process, and all ranks must have the same.
    """
    if kind != "unigram":
        return train(kind, texts, vocabulary, sentinels)
    file = cache_home("") / "unigram" / f"{texts_hash([str(vocabulary), *_more(sentinels), *texts])}.json"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, encoding="utf-8", suffix=".tmp") as temporary:
            temporary.write(train(kind, texts, vocabulary, sentinels))
            temporary.flush()
            with contextlib.suppress(FileExistsError):  # another rank was first, and its own is what all read
                os.link(temporary.name, file)
    return file.read_text(encoding="utf-8")


def _more(sentinels: int) -> list[str]:
    return [] if sentinels == EXTRA else [f"{sentinels} sentinels"]


def train(kind: Kind, texts: Iterable[str], vocabulary: int, sentinels: int = EXTRA) -> str:
    """Train a tokenizer on ``texts``; its tokenizer.json. At most ``vocabulary`` ids, specials included."""
    from tokenizers import Tokenizer, models, processors

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"<extra_id_{i}>" for i in range(sentinels)), *MODES]
    if vocabulary < len(special) + 64:
        raise ValueError(f"vocabulary is {vocabulary}; a trained tokenizer needs at least {len(special) + 64} ids")
    model = {"bpe": models.BPE(), "wordpiece": models.WordPiece(unk_token="[UNK]"), "unigram": models.Unigram()}[kind]
    tokenizer = Tokenizer(model)
    _dress(tokenizer, kind)
    texts = [t for t in texts if t.strip()]
    extra = _continuations(tokenizer, texts) if kind == "wordpiece" else []
    tokenizer.train_from_iterator(texts, _trainer(kind, vocabulary, special + extra))
    if extra:
        tokenizer = Tokenizer.from_str(_as_ordinary(tokenizer.to_str(), len(special)))
    ids = [("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ids
    )
    return str(tokenizer.to_str())


def _continuations(tokenizer: Any, texts: Sequence[str]) -> list[str]:
    """``##c`` for each character, sorted, so that they are numbered before training.

    Left to itself the library numbers them in the order of a hash table, which differs from process to process, and
    equal counts are decided by numbers.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(tokenizer.normalizer.normalize_str(text))
    common = [c for c, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:ALPHABET] if not c.isspace()]
    return [f"##{c}" for c in sorted(common)]


def _as_ordinary(text: str, special: int) -> str:
    """The tokenizer.json with only its first ``special`` added tokens kept as such."""
    content = json.loads(text)
    content["added_tokens"] = content["added_tokens"][:special]
    return json.dumps(content, ensure_ascii=False)


def _dress(tokenizer: Any, kind: Kind) -> None:
    """Normalizer, pre-tokenizer and decoder of a kind; WordPiece lowers case, as BERT uncased does."""
    from tokenizers import decoders, normalizers, pre_tokenizers

    if kind == "bpe":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
    elif kind == "wordpiece":
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
    else:
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()


def _trainer(kind: Kind, vocabulary: int, special: list[str]) -> Any:
    from tokenizers import pre_tokenizers, trainers

    common: dict[str, Any] = {"vocab_size": vocabulary, "special_tokens": special, "show_progress": False}
    if kind == "bpe":
        return trainers.BpeTrainer(**common, min_frequency=2, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    if kind == "wordpiece":
        return trainers.WordPieceTrainer(**common, min_frequency=2, limit_alphabet=ALPHABET)
    return trainers.UnigramTrainer(**common, unk_token="[UNK]")
