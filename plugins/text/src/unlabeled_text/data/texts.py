"""A user's texts: files and folders of lines, paragraphs, documents or table columns, and links between them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Unpack

from unlabeled.data.manifest import Pairs
from unlabeled.errors import UsageError
from unlabeled_text.data.building import Options, build_cached
from unlabeled_text.data.compounds import word_records
from unlabeled_text.data.corpus import Corpus, _with_links
from unlabeled_text.data.reading import Bad, Columns, Record, files_of, read


class Texts(Corpus):
    """Text files of a user: .txt, .jsonl, .csv, .tsv, .parquet, or a folder of them.

    Args:
        tokenizer: wordpiece, bpe or unigram, trained on the data; bytes; or a tokenizer.json or its folder.
        vocabulary: most token ids of a tokenizer that is trained.
        length: most tokens of a sample, specials included.
        sample: of .txt files: a line, a paragraph (ends at an empty line), or the whole document; word = of any files,
            their words with a hyphen and as many without, for compoundpiece.
        overflow: longer texts are cut to length, or split into several samples.
        least: fewest tokens of a sample, without specials; shorter ones are left out.
        dedup: leave out texts that have been seen before, but for spaces.
        links: a file of two columns: numbers of texts, from 0, and of their neighbors (citations).
        batches: packed = batches of like totals of tokens; bucketed = samples of like lengths; random = neither.
        cache: folder for the token ids of large data; empty = $UNLABELED_CACHE or ~/.cache/unlabeled; none = memory.
    """

    def __init__(
        self,
        path: str,
        max_bad: float,
        *,
        tokenizer: str = "wordpiece",
        vocabulary: int = 8192,
        length: int = 128,
        sample: Literal["line", "paragraph", "document", "word"] = "line",
        overflow: Literal["cut", "split"] = "cut",
        least: int = 1,
        dedup: bool = True,
        links: str = "",
        batches: Literal["packed", "bucketed", "random"] = "packed",
        cache: str = "",
        **columns: Unpack[Pairs],
    ) -> None:
        files = files_of(Path(path))
        options = Options(
            dedup=dedup and not links,
            least=least,
            split=overflow == "split",
            columns=Columns.of(columns),
            unit="line" if sample == "word" else sample,
            words=sample == "word",
            max_bad=max_bad,
        )

        def source(bad: Bad) -> Iterator[Record]:
            found = read(Path(path), options.unit, options.columns, bad)
            if not options.words:
                return found
            if words := list(word_records(found)):
                return iter(words)
            raise UsageError(f"{path} has no word with a hyphen between its letters: there is nothing to learn from")

        store, spec = build_cached(source, path, files, tokenizer, vocabulary, length, options, cache)
        if links:
            store = _with_links(store, Path(links))
        super().__init__(store, spec, path, batches)
