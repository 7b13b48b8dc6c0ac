"""A data set as a file has it, and its checks and mending before anyone else sees it.

# N samples, G graphs, T nodes of all graphs, E directed edges, F features
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from unlabeled.contract import Targets
from unlabeled.errors import UsageError
from unlabeled_graph.batch import is_symmetric, sort_edges
from unlabeled_graph.data.targets import meaning
from unlabeled_graph.ops.sparse import Rows, SparseRows, normalize_rows

SETS = ("train", "val", "test")
BLOCK = 1 << 16  # rows that are looked at together


@dataclass(frozen=True)
class Raw:
    """One graph whose nodes are the samples, or many graphs that are.

    Args:
        name: of the source, as a user wrote it.
        level: ``node`` or ``graph``.
        x: ``[T, F]`` features of all nodes.
        edges: ``int64[2, E]`` source and target, numbered over all graphs.
        lengths: nodes of each graph; one number at node level.
        y: ``[N]`` classes, NaN or -1 = unknown; as a file has it also numbers ``[N]``, or ``[N, K]``.
        classes: names of the classes.
        edge_attr: ``[E, A]``.
        sets: ids of samples by name: train, val, test.
        folds: ``int64[N]`` fold of each sample.
        notes: what was mended, each a few words.
        symmetric: whether every edge stands in both directions.
        mapped: whether features stay in their file, so that nothing here may hold or change all of them.
        columns: names of the K columns of y.
        targets: what is known of each sample beside its class.
        names: what the user calls each sample.
        groups: a name for each sample, none of which may be on both sides of a split.
        bad: samples that could not be read, with the reason.
        facts: ``[N, 3]`` head, relation and tail of a knowledge graph by set: train, valid, test.
    """

    name: str
    level: str
    x: Rows
    edges: Tensor
    lengths: tuple[int, ...]
    y: Tensor | None = None
    classes: tuple[str, ...] = ()
    edge_attr: Tensor | None = None
    sets: Mapping[str, Tensor] = field(default_factory=dict)
    folds: Tensor | None = None
    notes: tuple[str, ...] = ()
    symmetric: bool = False
    mapped: bool = False
    columns: tuple[str, ...] = ()
    targets: Targets | None = None
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    bad: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """N."""
        return len(self.x) if self.level == "node" else len(self.lengths)


def _fail(raw: Raw, text: str) -> None:
    raise UsageError(f"{raw.name}: {text}")


def check(raw: Raw) -> None:
    """``UsageError`` for what cannot be mended, with the first place where it stands."""
    total = len(raw.x)
    if total == 0:
        _fail(raw, "no nodes")
    empty = [number for number, length in enumerate(raw.lengths) if length < 1]
    if empty:
        _fail(raw, f"graph {empty[0]} has no nodes ({len(empty)} of {len(raw.lengths)} graphs are empty)")
    if sum(raw.lengths) != total:
        _fail(raw, f"graphs of {sum(raw.lengths)} nodes together, but features of {total}")
    row = infinite_row(raw.x)
    if row is not None:
        _fail(raw, f"node {row} has a feature that is not finite")
    if raw.edges.dim() != 2 or len(raw.edges) != 2:
        _fail(raw, f"edges have shape {list(raw.edges.shape)}; they must be [2, E], sources and targets")
    outside = ((raw.edges < 0) | (raw.edges >= total)).any(0)
    if bool(outside.any()):
        first = int(torch.nonzero(outside)[0])
        _fail(raw, f"edge {first} joins {raw.edges[:, first].tolist()}, but nodes are numbered 0 to {total - 1}")
    _check_groups(raw)
    _check_sizes(raw)


def infinite_row(x: Rows) -> int | None:
    """The first row with a number that is not finite; block by block, since x may be larger than memory."""
    values = x.values if isinstance(x, SparseRows) else x
    begin = 0
    for block in values.split(BLOCK):
        if not bool(block.isfinite().all()):
            place = begin + int(torch.nonzero(~block.isfinite())[0, 0])
            return int(x.pattern.rows[place]) if isinstance(x, SparseRows) else place
        begin += len(block)
    return None


def _check_groups(raw: Raw) -> None:
    lengths = torch.tensor(raw.lengths)
    group = torch.arange(len(lengths)).repeat_interleave(lengths)[raw.edges]
    joins = group[0] != group[1]
    if bool(joins.any()):
        first = int(torch.nonzero(joins)[0])
        _fail(raw, f"edge {first} joins graphs {group[:, first].tolist()}; edges must stay inside a graph")


def _check_sizes(raw: Raw) -> None:
    for what, found, wanted in (
        ("labels", None if raw.y is None else len(raw.y), raw.samples),
        ("folds", None if raw.folds is None else len(raw.folds), raw.samples),
        ("names of samples", len(raw.names) or None, raw.samples),
        ("groups", len(raw.groups) or None, raw.samples),
        ("features of edges", None if raw.edge_attr is None else len(raw.edge_attr), raw.edges.shape[1]),
    ):
        if found is not None and found != wanted:
            _fail(raw, f"{found} {what}, but there must be {wanted}")
    if raw.edge_attr is not None and not bool(raw.edge_attr.isfinite().all()):
        _fail(raw, f"edge {int(torch.nonzero(~raw.edge_attr.isfinite())[0, 0])} has a feature that is not finite")
    for name, ids in raw.sets.items():
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < raw.samples:
            worst = int(ids.min() if int(ids.min()) < 0 else ids.max())
            _fail(raw, f"the {name} set names sample {worst}, but there are {raw.samples}")
    _check_apart(raw)


def _check_apart(raw: Raw) -> None:
    """No sample in two sets: a number on the test would be one on the train set too."""
    owner: dict[int, str] = {}
    for name, ids in raw.sets.items():
        both = [sample for sample in ids.tolist() if owner.setdefault(sample, name) != name]
        if both:
            _fail(raw, f"sample {both[0]} is in the {owner[both[0]]} and the {name} set ({len(both):,} are in both)")


def mend(raw: Raw, *, undirected: bool, normalize: bool) -> Raw:
    """Checked, with edges sorted, single, without loops and, if asked for, in both directions; repairs in ``notes``."""
    check(raw)
    raw = understood(raw)
    notes, edges, attr = list(raw.notes), raw.edges, raw.edge_attr
    loops = edges[0] == edges[1]
    if bool(loops.any()):
        notes.append(f"{int(loops.sum()):,} loops removed")
        edges, attr = edges[:, ~loops], None if attr is None else attr[~loops]
    edges, attr, doubles = _single(edges, attr, len(raw.x))
    if doubles:
        notes.append(
            f"{doubles:,} duplicate edges merged" + (", features of the first kept" if attr is not None else "")
        )
    symmetric = is_symmetric(edges, len(raw.x))
    if undirected and not symmetric:
        before = edges.shape[1]
        both = torch.cat((edges, edges.flip(0)), dim=1)
        edges, attr, _ = _single(both, None if attr is None else torch.cat((attr, attr)), len(raw.x))
        notes.append(f"{edges.shape[1] - before:,} edges added, so that each link stands in both directions")
        symmetric = True
    lonely = len(raw.x) - len(edges.unique())
    if lonely:
        notes.append(f"{lonely:,} nodes without an edge")
    x = normalize_rows(raw.x) if normalize else raw.x
    return replace(raw, x=x, edges=edges, edge_attr=attr, notes=tuple(notes), symmetric=symmetric)


def understood(raw: Raw) -> Raw:
    """With ``y`` as classes or ``targets``, whichever it says."""
    if raw.y is None:
        return raw
    y, classes, targets, notes = meaning(raw.y, raw.classes, raw.columns, raw.name)
    if raw.targets is not None and targets is not None:
        raise UsageError(
            f"{raw.name} has numbers to predict in its column of labels and in {', '.join(raw.targets.names)}: leave "
            "one out with --data.label none or --data.target none"
        )
    return replace(raw, y=y, classes=classes, targets=raw.targets or targets, notes=(*raw.notes, *notes))


def _single(edges: Tensor, attr: Tensor | None, total: int) -> tuple[Tensor, Tensor | None, int]:
    """Edges sorted, the first of equals alone, and how many were left out."""
    edges, order = sort_edges(edges, total)
    if attr is not None and order is not None:
        attr = attr[order]
    first = torch.ones(edges.shape[1], dtype=torch.bool)
    first[1:] = (edges[:, 1:] != edges[:, :-1]).any(0)
    if bool(first.all()):
        return edges, attr, 0
    return edges[:, first], None if attr is None else attr[first], int((~first).sum())


def is_bag(x: Rows) -> bool:
    """Whether features are counts of words: no number below 0, and most of them 0."""
    values = x.values if isinstance(x, SparseRows) else x
    total = len(x) * (x.shape[1])
    return bool((values >= 0).all()) and int((values != 0).sum()) < 0.5 * total and x.shape[1] >= 64


def labels_of(y: Tensor | None) -> Tensor | None:
    """``int64[N]`` classes, -1 unknown; None for targets that are no classes."""
    if y is None:
        return None
    if not y.is_floating_point():
        return y.long()
    known = y[y.isfinite()]
    if bool((known == known.round()).all()):
        return torch.where(y.isfinite(), y, -1.0).long()
    return None
