"""Molecules as SMILES in a table, read by RDKit.

The column of samples is ``smiles``, or the one whose name has it within. Classes and targets stand in the columns of a
manifest or in ``y``; where there is none of them, every column of numbers is a target. A column that nothing reads is
named.

    # N molecules, T atoms, E bonds in both directions, K targets
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlabeled.data.files import check_bad
from unlabeled.data.manifest import Manifest
from unlabeled.data.tables import Table, read_table
from unlabeled.errors import PluginError, UsageError
from unlabeled_graph.data.arrays import bond_columns, node_columns
from unlabeled_graph.data.edge_lists import IDS
from unlabeled_graph.data.raw import Raw
from unlabeled_graph.data.tables import NUMBERS, is_number, read_rows, told, unknown, unread

OWN = (*IDS, *NUMBERS, "mol_id", "molecule", "cid", "chembl_id")  # what tables of molecules call a row


def smiles_column(table: Table) -> str | None:
    """The column ``smiles``, or the one whose name has it within; None where there is none."""
    named = [name for name in table.columns if "smiles" in name.casefold()]
    if "smiles" in table.folded:
        return table.folded["smiles"]
    if len(named) > 1:
        raise UsageError(f"{table.path} has columns {', '.join(named)}; call the one that is meant 'smiles'")
    return named[0] if named else None


def read_smiles(path: Path, max_bad: float, columns: Mapping[str, Any]) -> Raw:
    """A table of molecules; those that RDKit cannot read are left out, up to a share ``max_bad``."""
    table = read_table(path)
    manifest = read_rows(table, ((smiles_column(table) or "smiles").strip().casefold(),), columns)
    read = [molecule(name) for name in manifest.names]
    bad = {
        f"{table.where(row).removeprefix(f'{path}, ')}": text for row, text in enumerate(read) if isinstance(text, str)
    }
    check_bad(path, bad, len(table), max_bad, "molecules")
    rows = [row for row, found in enumerate(read) if not isinstance(found, str)]
    graphs = [found for found in read if not isinstance(found, str)]
    starts = torch.tensor([0, *(len(atoms) for atoms, _, _ in graphs)]).cumsum(0)
    more, left = _targets(table, manifest, rows)
    notes = (f"{len(bad)} molecules that RDKit cannot read left out",) if bad else ()
    return Raw(
        str(path),
        "graph",
        node_columns(torch.cat([atoms for atoms, _, _ in graphs]), path),
        torch.cat([pairs + start for (_, pairs, _), start in zip(graphs, starts)], dim=1),
        tuple(len(atoms) for atoms, _, _ in graphs),
        edge_attr=bond_columns(torch.cat([bonds for _, _, bonds in graphs])),
        names=tuple(manifest.names[row] for row in rows),
        notes=(*notes, *unread(path, left)),
        bad=bad,
        **more,
    )


def _targets(table: Table, manifest: Manifest, rows: Sequence[int]) -> tuple[dict[str, Any], list[str]]:
    """What the manifest says, or else all columns of numbers; and the columns that are not read."""
    found, left = told(manifest, rows), manifest.unread
    if any(role in manifest.chosen for role in ("label", "labels", "target")):
        return found, left
    texts = {name: [table.texts(name)[row] for row in rows] for name in left if name.strip().casefold() not in OWN}
    read = [name for name, column in texts.items() if all(unknown(text) or is_number(text) for text in column)]
    if read:
        values = [[torch.nan if unknown(text) else float(str(text)) for text in texts[name]] for name in read]
        found |= {"y": torch.tensor(values).T.contiguous(), "columns": tuple(read)}
    return found, [name for name in left if name not in read]


def molecule(smiles: str) -> tuple[Tensor, Tensor, Tensor] | str:
    """Atoms ``int[T, 7]``, bonds ``[2, E]`` both ways and ``int[E, 3]`` of each; or why there are none."""
    try:
        from rdkit import Chem, rdBase
    except ModuleNotFoundError as error:
        raise PluginError("molecules need the package 'rdkit': pip install 'unlabeled-graph[molecules]'") from error
    with rdBase.BlockLogs():
        found = Chem.MolFromSmiles(smiles)
    if found is None or found.GetNumAtoms() == 0:
        return f"{smiles!r} is no molecule that RDKit can read"
    atoms = [
        (
            atom.GetAtomicNum(),
            atom.GetDegree(),
            atom.GetFormalCharge(),
            atom.GetTotalNumHs(),
            int(atom.GetHybridization()),
            int(atom.GetIsAromatic()),
            int(atom.GetChiralTag()),
        )
        for atom in found.GetAtoms()
    ]
    pairs, bonds = [], []
    for bond in found.GetBonds():
        kind = (round(2 * bond.GetBondTypeAsDouble()), int(bond.GetIsConjugated()), int(bond.IsInRing()))
        ends = (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        pairs += [ends, ends[::-1]]
        bonds += [kind, kind]
    edges = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
    return torch.tensor(atoms), edges, torch.tensor(bonds, dtype=torch.int64).reshape(-1, 3)
