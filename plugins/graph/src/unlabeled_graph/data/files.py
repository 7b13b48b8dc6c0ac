"""A user's graphs: one data set for every form of file, which is told by what lies at the path."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Unpack

from unlabeled.data.manifest import Unsplit, refuse_columns
from unlabeled.data.tables import is_table, read_table
from unlabeled.errors import UsageError
from unlabeled_graph.data.edge_lists import ends_of, read_edges, table_named
from unlabeled_graph.data.graphs import Graphs
from unlabeled_graph.data.nodes import Nodes
from unlabeled_graph.data.raw import Raw, is_bag, mend

FORMS = (
    "an .npz of arrays, a .pt of PyG, a folder with edges.csv (.tsv, .jsonl, .parquet) or x.npy, such a table with "
    "smiles, or with source and target, a .txt of head, relation, tail by tabs or a folder with such a train.txt, "
    "or a raw folder of TUDataset (NAME_A.txt) or Planetoid (ind.NAME.allx)"
)


def read(path: Path, max_bad: float, degrees: int, columns: Mapping[str, Any]) -> Raw:
    """What lies at ``path``; imports only what its form needs."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; give {FORMS}")
    suffix = path.suffix.lower()
    if path.is_file() and suffix == ".npz":
        from unlabeled_graph.data.arrays import read_arrays

        return read_arrays(path, degrees)
    if path.is_file() and suffix in (".pt", ".pth"):
        from unlabeled_graph.data.objects import read_object

        return read_object(path, degrees)
    if path.is_file() and suffix == ".txt":
        from unlabeled_graph.data.triples import holds_triples, read_triples

        if holds_triples(path):
            return read_triples(path, degrees)
    if is_table(path):
        return _table(path, max_bad, degrees, columns)
    if path.is_dir():
        return _folder(path, max_bad, degrees, columns)
    raise UsageError(f"{path} is of no form that is known here; give {FORMS}")


def _table(path: Path, max_bad: float, degrees: int, columns: Mapping[str, Any]) -> Raw:
    from unlabeled_graph.data.molecules import read_smiles, smiles_column

    table = read_table(path)
    if smiles_column(table) is not None:
        return read_smiles(path, max_bad, columns)
    if path.stem.lower() != "edges" and ends_of(table) is None:
        raise UsageError(
            f"{path} has columns {', '.join(table.columns)}: molecules need one called 'smiles', edges 'source' and "
            "'target'"
        )
    return read_edges(path, degrees, columns)


def _folder(path: Path, max_bad: float, degrees: int, columns: Mapping[str, Any]) -> Raw:
    for folder in (path, path / "raw"):
        if sorted(folder.glob("*_A.txt")):
            from unlabeled_graph.data.folders import read_tu

            return read_tu(folder, degrees)
        if sorted(folder.glob("ind.*.allx")):
            from unlabeled_graph.data.folders import read_planetoid

            return read_planetoid(folder)
    edges = table_named(path, "edges")
    if edges is not None:
        return read(edges, max_bad, degrees, columns)
    if (path / "train.txt").is_file():
        from unlabeled_graph.data.triples import read_triples

        return read_triples(path, degrees)
    if (path / "x.npy").is_file():
        from unlabeled_graph.data.arrays import read_mapped

        return read_mapped(path)
    arrays = sorted(path.glob("*.npz"))
    if len(arrays) == 1:
        return read(arrays[0], max_bad, degrees, columns)
    if arrays:
        raise UsageError(f"{path} holds {', '.join(a.name for a in arrays)}: name the one that is meant")
    raise UsageError(f"{path} holds no graph that is known here; give {FORMS}")


def protocol_of(raw: Raw) -> Literal["public", "random", "folds", "none"]:
    """What ``split = auto`` means for these data."""
    if {"train", "test"} <= set(raw.sets):
        return "public"
    if raw.sets:
        raise UsageError(
            f"{raw.name} has a {' and a '.join(raw.sets)} set, but a split needs train and test; add the other, or "
            "choose --data.split random, folds or none"
        )
    if raw.folds is not None:
        return "folds"
    return "random" if raw.level == "node" else "none"


def files(
    path: str,
    max_bad: float,
    *,
    split: Literal["auto", "public", "random", "folds", "none"] = "auto",
    turn: int = 0,
    normalize: Literal["auto", "row", "none"] = "auto",
    undirected: bool = True,
    degrees: int = 64,
    sampling: Literal["auto", "whole", "neighbors", "clusters"] = "auto",
    fanout: tuple[int, ...] = (10, 10),
    cluster: int = 256,
    held_links: float = 0.0,
    teach: bool = False,
    **columns: Unpack[Unsplit],
) -> Nodes | Graphs:
    """One graph whose nodes are the samples, or many graphs that are.

    Args:
        split: labels that probes may see: the file's own (public), random 10 / 10 / 80, ten folds, or all; auto = the
            file's own, else its folds, else random for nodes and all for graphs.
        turn: seed of a random split, or number of the fold that is the test.
        normalize: divide the features of each node by their sum; auto = for bags of words.
        undirected: add the other direction of each edge where it is missing.
        degrees: F where nodes have no features: the degree as one of so many, the last for all above.
        sampling: what a step sees of one graph: all of it, a neighborhood of each node, or clusters (probes then read
            all of it); auto = all of it, or neighborhoods where the features are read from the disk (x.npy).
        fanout: neighbors of each node in each hop of a neighborhood.
        cluster: nodes of a cluster.
        held_links: share of the links of one graph that training does not see, for probes of links, in [0, 0.5).
        teach: hand training the labels of train nodes, never of others, for self_task's tasks that read labels.
    """
    if degrees < 2:
        raise ValueError(f"degrees is {degrees}; it must be at least 2")
    where = Path(path)
    if where.exists() and not is_table(where) and (where.is_file() or table_named(where, "edges") is None):
        refuse_columns(where, columns)
    raw = read(where, max_bad, degrees, columns)
    if raw.mapped and normalize == "row":
        raise ValueError("normalize is row, but x.npy stays on the disk as it is: divide its rows before")
    bag = raw.level == "node" and not raw.mapped and is_bag(raw.x)
    if sampling == "auto":
        sampling = "neighbors" if raw.mapped else "whole"
    raw = mend(raw, undirected=undirected, normalize=normalize == "row" or (normalize == "auto" and bag))
    split = protocol_of(raw) if split == "auto" else split
    if raw.level == "graph":
        if teach:
            raise UsageError("teach hands out labels of nodes, and these samples are graphs: leave --data.teach out")
        return Graphs(raw, split=split, turn=turn)
    return Nodes(
        raw,
        split=split,
        turn=turn,
        sampling=sampling,
        fanout=fanout,
        cluster=cluster,
        held_links=held_links,
        teach=teach,
    )
