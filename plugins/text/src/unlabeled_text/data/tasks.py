"""Data sets that probes need and pre-training does not: questions with choices, and words with tags.

``choices``: CaseHOLD's form, https://arxiv.org/abs/2104.08671: a .csv or .jsonl file with a context (``context`` or
``citing_prompt``), the choices (``choices``, or ``holding_0`` to ``holding_4``) and the number of the right one
(``label`` or ``answer``). A sample is one choice and its context, the choice first, a token that ends a text between
them. A context that is too long is cut around the place of the holding (``<HOLDING>``), or at its end where it has
none. ``tagged``: CoNLL's form, a word and its tag a line, an empty line after each sentence; or .jsonl with
``words`` and ``tags``. Sides of a split are those of ``reading.sides_of``.

    # N samples, Q questions, K choices, W words
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from unlabeled.data.files import text_of
from unlabeled.data.sides import Side, masks
from unlabeled.errors import UsageError
from unlabeled_text.batch import TextSpec
from unlabeled_text.data.building import trains
from unlabeled_text.data.corpus import Corpus
from unlabeled_text.data.reading import SHOWN, files_of, ragged, reason_of, sides_of, text_in
from unlabeled_text.data.store import Writer
from unlabeled_text.ops.tokenizing import spec_of

Encoded = tuple[np.ndarray, np.ndarray]  # tokens, and where words begin
PLACE = "<HOLDING>"
CONTEXT, ANSWER = ("context", "citing_prompt", "question", "prompt"), ("label", "answer")


def lines_of(file: Path) -> list[str]:
    """The lines of a file in UTF-8, with their ends; ``UsageError`` names the byte that is none."""
    return re.findall(r"[^\n]*\n|[^\n]+", text_of(file))  # splitlines splits at U+2028, which JSON allows in a text


def rows_of(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and content of each row of a .csv, .tsv or .jsonl file."""
    lines = lines_of(file)
    if file.suffix in (".csv", ".tsv"):
        reader = csv.DictReader(lines, delimiter="\t" if file.suffix == ".tsv" else ",")
        try:
            for number, row in enumerate(reader, 2):
                if reason := ragged(row):
                    raise UsageError(f"{file}:{reader.line_num} has {reason}")
                yield number, row
        except csv.Error as error:
            raise UsageError(f"{file}:{reader.line_num + 1} cannot be read as a row: {error}") from error
        return
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{file}:{number} is not valid JSON: {reason_of(error)}") from error
            if not isinstance(found, dict):
                raise UsageError(f"{file}:{number} holds {type(found).__name__}; it must be a mapping")
            yield number, found


def question_of(row: dict[str, Any], where: str) -> tuple[str, list[str], int]:
    """Context, choices and the number of the right one."""
    context = next((row[name] for name in CONTEXT if row.get(name)), None)
    answer = next((row[name] for name in ANSWER if row.get(name) not in (None, "")), None)
    choices = row.get("choices")
    if not isinstance(choices, list):
        numbered = [name for name in row if name and name.startswith("holding_") and name[8:].isdigit()]
        choices = [row[name] for name in sorted(numbered, key=lambda name: int(name[8:]))]
    if context is None or answer is None or len(choices) < 2:
        raise UsageError(
            f"{where} has columns {', '.join(map(str, row))}; it needs a context ({', '.join(CONTEXT)}), choices or "
            f"holding_0, holding_1, ..., and {' or '.join(ANSWER)}"
        )
    try:
        number = int(float(answer))
    except (ValueError, TypeError, OverflowError):
        number = -1
    if not 0 <= number < len(choices):
        raise UsageError(f"{where}: {str(answer)[:SHOWN]!r} is the number of none of {len(choices)} choices")
    try:
        return text_in(context), [text_in(choice) for choice in choices], number
    except ValueError as error:
        raise UsageError(f"{where}: its context or a choice is {error}") from error


def around(before: int, after: int, room: int) -> tuple[int, int]:
    """How many of the tokens before a place and of those from it on stay in ``room``: as many of each as can."""
    last = min(after, max(room - before, room // 2))
    return min(before, room - last), last


def halves(context: str) -> tuple[str, str]:
    """A context before the place of the holding and from it on; all of it is the latter where it names no place."""
    place = max(0, context.upper().find(PLACE))
    return context[:place], context[place:]


def joined(choice: Encoded, before: Encoded, after: Encoded, spec: TextSpec) -> tuple[Encoded, bool]:
    """The tokens of a choice and of what of its context has room beside it, and whether some had none."""
    between = np.array(spec.suffix[:1], np.int64)
    room = spec.length - len(spec.prefix) - len(spec.suffix) - len(between)
    own = min(len(choice[0]), max(room - len(before[0]) - len(after[0]), room // 2))
    head, tail = around(len(before[0]), len(after[0]), room - own)
    start = len(before[0]) - head
    cut = own < len(choice[0]) or start > 0 or tail < len(after[0])
    frame = (between, np.ones(len(between), bool))
    tokens, starts = (np.concatenate((choice[n][:own], frame[n], before[n][start:], after[n][:tail])) for n in (0, 1))
    return (tokens, starts), cut


class Choices(Corpus):
    """Questions with choices, a sample a choice.

    Args:
        tokenizer: wordpiece, bpe or unigram, trained on the data; bytes; or a tokenizer.json or its folder.
        vocabulary: most token ids of a tokenizer that is trained.
        length: most tokens of a sample, specials included.
    """

    def __init__(self, path: str, *, tokenizer: str = "wordpiece", vocabulary: int = 8192, length: int = 128) -> None:
        files = files_of(Path(path))
        sides = sides_of(files)
        texts: list[tuple[str, str, str]] = []
        held: list[Side | None] = []
        answers, width = [], 0
        for file in files:
            for number, row in rows_of(file):
                context, choices, answer = question_of(row, f"{file}:{number}")
                width = width or len(choices)
                if len(choices) != width:
                    raise UsageError(f"{file}:{number} has {len(choices)} choices, and others have {width}")
                texts += [(choice, *halves(f" {context}")) for choice in choices]
                answers.append(answer)
                held.append(sides.get(file))
        if not answers:
            raise UsageError(f"{path}: no questions")
        seen = [text for n, text in enumerate(texts) if trains(held[n // width])] or texts
        spec = spec_of(tokenizer, length, vocabulary, ["".join(parts) for parts in seen])
        writer, cut = Writer(spec.vocabulary), 0
        choice, before, after = (spec.codec.encode(each) for each in zip(*texts, strict=True))
        for parts in zip(choice, before, after, strict=True):
            found, short = joined(parts[0], parts[1], parts[2], spec)
            writer.add(*found)
            cut += short
        super().__init__(writer.finish({}, {"cut": cut}), spec, path, "bucketed")
        test, val = masks(held)
        self.choices: Tensor = torch.arange(len(texts)).reshape(-1, width)
        self.answers = torch.tensor(answers)
        self.choice_test = torch.zeros(len(held), dtype=torch.bool) if test is None else test
        self.test, self.val = (None if side is None else side.repeat_interleave(width) for side in (test, val))


# ---------------------------------------------------------------------------------------------- words with tags


def sentences_of(file: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Words and tags of each sentence."""
    if file.suffix == ".jsonl":
        for number, row in rows_of(file):
            words, tags = row.get("words", row.get("tokens")), row.get("tags")
            if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags):
                raise UsageError(f"{file}:{number} needs lists of words and of tags, of the same length")
            try:
                yield [text_in(word) for word in words], [text_in(tag) for tag in tags]
            except ValueError as error:
                raise UsageError(f"{file}:{number}: a word or tag is {error}") from error
        return
    words, tags = [], []
    for number, line in enumerate([*lines_of(file), ""], 1):
        parts = line.split()
        if not parts:
            if words:
                yield words, tags
            words, tags = [], []
        elif len(parts) < 2:
            raise UsageError(f"{file}:{number} reads {line!r}; it needs a word and its tag")
        elif parts[0] != "-DOCSTART-":
            words, tags = [*words, parts[0]], [*tags, parts[-1]]


class Tagged(Corpus):
    """Sentences whose words have tags: parts of speech, entities.

    Args:
        tokenizer: wordpiece, bpe or unigram, trained on the data; bytes; or a tokenizer.json or its folder.
        vocabulary: most token ids of a tokenizer that is trained.
        length: most tokens of a sample, specials included.
        batches: packed = batches of like totals of tokens; bucketed = samples of like lengths; random = neither.
    """

    def __init__(
        self,
        path: str,
        *,
        tokenizer: str = "wordpiece",
        vocabulary: int = 8192,
        length: int = 128,
        batches: Literal["packed", "bucketed", "random"] = "packed",
    ) -> None:
        files = files_of(Path(path))
        sides = sides_of(files)
        found = [(words, tags, sides.get(file)) for file in files for words, tags in sentences_of(file)]
        if not found:
            raise UsageError(f"{path}: no sentences")
        seen = [" ".join(words) for words, _, side in found if trains(side)]
        spec = spec_of(tokenizer, length, vocabulary, seen or (" ".join(words) for words, _, _ in found))
        writer = Writer(spec.vocabulary)
        for words, _, _ in found:
            writer.add(*_encoded(spec, words))
        super().__init__(writer.finish({}, {}), spec, path, batches)
        self.tag_classes = tuple(sorted({tag for _, tags, _ in found for tag in tags}))
        number = {tag: i for i, tag in enumerate(self.tag_classes)}
        self.tags = [np.array([number[tag] for tag in tags]) for _, tags, _ in found]
        self.test, self.val = masks([side for _, _, side in found])


def _encoded(spec: Any, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of a sentence, and where each of its own words starts, whatever the tokenizer splits at."""
    # a space before all but the first, since byte-level tokens hold it
    parts = spec.codec.encode([word if n == 0 else f" {word}" for n, word in enumerate(words)])
    tokens = [part if len(part) else np.array([spec.unknown or 0], part.dtype) for part, _ in parts]
    first = [np.arange(len(part)) == 0 for part in tokens]
    return np.concatenate(tokens), np.concatenate(first)
