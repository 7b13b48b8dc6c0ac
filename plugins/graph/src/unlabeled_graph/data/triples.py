"""Facts of a knowledge graph, ``head relation tail`` a line: two relations of one pair are two facts.

A folder with ``train.txt`` and, where some are held out, ``valid.txt`` and ``test.txt`` (FB15k-237, WN18RR), or one
such file; columns are separated by tabs. The graph has the facts of train alone. Each pair of entities is one edge
whose features are bool columns, one a relation, and as many for the inverse relations on the edge in the other
direction.

    # N facts, T entities, R relations, E edges
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlabeled.errors import UsageError
from unlabeled_graph.data.arrays import degree_columns
from unlabeled_graph.data.raw import Raw

HELD = ("valid", "dev", "test")


def read_triples(path: Path, degrees: int) -> Raw:
    """A knowledge graph whose entities are the samples; ``degrees`` is F."""
    files = {"train": path} if path.is_file() else {n: path / f"{n}.txt" for n in ("train", *HELD)}
    lines = {name: _lines(file) for name, file in files.items() if file.is_file()}
    every = [line for part in lines.values() for line in part]
    entities = {name: n for n, name in enumerate(dict.fromkeys(end for head, _, tail in every for end in (head, tail)))}
    relations = {name: n for n, name in enumerate(dict.fromkeys(relation for _, relation, _ in every))}
    facts = {
        name: torch.tensor([(entities[h], relations[r], entities[t]) for h, r, t in part]).reshape(-1, 3)
        for name, part in lines.items()
    }
    edges, attr = relation_columns(facts["train"], len(entities), len(relations))
    notes = [f"{len(facts['train'].unique(dim=0)):,} facts of {len(relations):,} relations"]
    notes += [f"{len(part):,} facts of {name} left out of the graph" for name, part in facts.items() if name != "train"]
    x = degree_columns(edges, len(entities), degrees)
    told: dict[str, Any] = {"names": tuple(entities), "notes": tuple(notes), "facts": facts}
    return Raw(str(path), "node", x, edges, (len(entities),), edge_attr=attr, **told)


def relation_columns(facts_N3: Tensor, total: int, relations: int) -> tuple[Tensor, Tensor]:
    """Edges ``[2, E]`` of all pairs, both ways, and ``bool[E, 2R]``: which relations hold, and which inverse ones."""
    head, kind, tail = facts_N3.T
    key = torch.cat((head * total + tail, tail * total + head))
    pairs, place = key.unique(return_inverse=True)
    attr = torch.zeros(len(pairs), 2 * relations, dtype=torch.bool)
    attr[place, torch.cat((kind, kind + relations))] = True
    return torch.stack((pairs // total, pairs % total)), attr


def holds_triples(path: Path) -> bool:
    """Whether the first line of a file has three columns."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().count("\t") == 2


def _lines(path: Path) -> list[tuple[str, str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        cells = line.rstrip("\r").split("\t")
        if len(cells) != 3:
            raise UsageError(f"{path}: line {number} has {len(cells)} columns; a fact is head, relation, tail by tabs")
        found.append((cells[0], cells[1], cells[2]))
    if not found:
        raise UsageError(f"{path}: no facts")
    return found
