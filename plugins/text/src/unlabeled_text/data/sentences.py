"""Generated sentences of six topics with graded pairs, which need no download."""

from typing import Literal

from unlabeled_text.data import generated
from unlabeled_text.data.building import Options, build
from unlabeled_text.data.corpus import Corpus
from unlabeled_text.data.reading import Record
from unlabeled_text.data.store import Store
from unlabeled_text.ops.tokenizing import spec_of


class Sentences(Corpus):
    """Generated sentences of six topics, with documents and graded pairs; nothing is downloaded.

    Args:
        documents: of four sentences each.
        sample: a sentence; or a word, many of them compounds with a hyphen, for compoundpiece.
        tokenizer: wordpiece, bpe or unigram, trained on the sentences; bytes; or a tokenizer.json or its folder.
        vocabulary: most token ids of a tokenizer that is trained.
        length: most tokens of a sample, specials included.
        batches: packed = batches of like totals of tokens; bucketed = samples of like lengths; random = neither.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        documents: int = 300,
        sample: Literal["sentence", "word"] = "sentence",
        tokenizer: str = "wordpiece",
        vocabulary: int = 512,
        length: int = 64,
        batches: Literal["packed", "bucketed", "random"] = "packed",
    ) -> None:
        if path is not None:
            raise ValueError(f"the sentences are generated; to read {path}, say --data texts:{path}")
        if documents < len(generated.TOPICS):
            raise ValueError(f"documents is {documents}; it must be at least {len(generated.TOPICS)}")
        if sample == "word":
            words = generated.compounds(2 * documents)
            spec = spec_of(tokenizer, length, vocabulary, words)
            super().__init__(build((Record((w,)) for w in words), spec, Options(), []), spec, "words", batches)
            return
        texts, topic, document, pairs, scores = generated.corpus(documents)
        names = list(generated.TOPICS)
        records = [
            Record((text,), {"label": names[t]} if t >= 0 else {}, document=str(d))
            for text, t, d in zip(texts, topic.tolist(), document.tolist(), strict=True)
        ]
        spec = spec_of(tokenizer, length, vocabulary, texts)
        store = build(iter(records), spec, Options(dedup=False), [])
        arrays = {**store.arrays, "pairs": pairs, "scores": scores}
        super().__init__(
            Store(store.tokens, store.starts, store.offsets, arrays, store.meta), spec, "sentences", batches
        )
