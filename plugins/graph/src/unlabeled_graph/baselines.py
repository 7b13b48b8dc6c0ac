"""Features without a model: raw ones, A^2 X, counts, and Weisfeiler-Lehman labels.

A^2 X smooths the features twice over the graph (SGC, https://arxiv.org/abs/1902.07153); of Cora's labels a linear probe
reads most of what any method gains from them. Counts are the sum of node features with the numbers of nodes and edges:
on MUTAG they beat published pre-trained encoders. Weisfeiler-Lehman labels
(https://jmlr.org/papers/v12/shervashidze11a.html) are hashed to a fixed width. A node's neighborhood is features,
averaged over one and two hops, beside counts of links and triangles: what trees read well (the probe ``boosted``).
Fingerprints are ECFP4 by RDKit, of molecules.

    # B samples, T packed rows, E edges, F features of a node, D features of a sample
"""

import importlib.util
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import mix64
from unlabeled.errors import above, at_least
from unlabeled_graph.batch import GraphSpec
from unlabeled_graph.ops.adjacency import adjacency_of
from unlabeled_graph.ops.sparse import dense


def of_samples(batch: Any, rows_TD: Tensor, *, total: bool = False) -> Tensor:
    """``[B, D]``: at the nodes that are samples, or the mean (``total``: the sum) over each graph."""
    if batch.seeds is not None:
        return batch.pooled(rows_TD)
    layout = batch.layout
    if not total:
        return layout.mean(rows_TD)
    return rows_TD.new_zeros(len(layout.lengths), rows_TD.shape[1]).index_add(0, layout.group, rows_TD)


class RawFeatures:
    """The features of a node, or their mean over a graph: ``[B, F]``."""

    def __call__(self, view: View) -> Tensor:
        batch: Any = view.batch
        return of_samples(batch, dense(batch.x))


class Propagated:
    """Features smoothed over the graph, ``(D^-1/2 (A + I) D^-1/2)^steps X``.

    Args:
        steps: how often, at least 1; 2 in the paper.
    """

    def __init__(self, spec: GraphSpec, *, steps: int = 2) -> None:
        above(0, steps=steps)
        self.steps = steps

    def __call__(self, view: View) -> Tensor:
        batch: Any = view.batch
        if "propagated" not in batch.memo:  # the same graph comes with every batch of its nodes
            x = dense(batch.x)
            for _ in range(self.steps):
                x = adjacency_of(batch).normalized(x)
            batch.memo["propagated"] = x
        return of_samples(batch, batch.memo["propagated"])


class Counts:
    """Sums of a graph's node features (one-hot: its atoms), its nodes and its edges counted: ``[B, F + 2]``."""

    def applies(self, data: Any) -> bool:
        """Of graphs; a node has nothing to count but its degree."""
        return bool(data.spec.level == "graph")

    def __call__(self, view: View) -> Tensor:
        batch: Any = view.batch
        x = dense(batch.x)
        degree = adjacency_of(batch).pattern.offsets.diff().to(x.dtype)
        return of_samples(batch, torch.cat((x, torch.ones_like(degree)[:, None], degree[:, None]), dim=1), total=True)


def refine(labels_T: Tensor, edges_2E: Tensor) -> Tensor:
    """``int64[T]``: one Weisfeiler-Lehman round: a hash of each label with the multiset of its neighbors'."""
    source, target = edges_2E
    around = torch.zeros_like(labels_T).index_add(0, target, mix64(labels_T[source]))  # wraps: a hash of the multiset
    return mix64(mix64(labels_T) * 3 + around)


class WeisfeilerLehman:
    """Square roots of the counts of hashed subtree labels: ``[B, width]``.

    Args:
        rounds: of refinement, at least 0.
        width: buckets that labels are hashed to.
    """

    def __init__(self, spec: GraphSpec, *, rounds: int = 3, width: int = 512) -> None:
        at_least(0, rounds=rounds)
        above(0, width=width)
        self.rounds, self.width = rounds, width

    def applies(self, data: Any) -> bool:
        """Of graphs."""
        return bool(data.spec.level == "graph")

    def __call__(self, view: View) -> Tensor:
        batch: Any = view.batch
        x = dense(batch.x)
        place = mix64(torch.arange(1, x.shape[1] + 1, device=x.device))
        labels = mix64(((x * 4096).round().long() * place).sum(1))
        out = x.new_zeros(len(batch.lengths), self.width)
        one = x.new_ones(len(x))
        for number in range(self.rounds + 1):
            bucket = (mix64(labels + number) & 0x7FFFFFFF) % self.width
            out.index_put_((batch.layout.group, bucket), one, accumulate=True)
            labels = refine(labels, batch.edges)
        return out.sqrt()


class Neighborhood:
    """Features of a node, their means over one and two hops, its degree, its neighbors' and the triangles it is in.

    Features wider than ``width`` are first projected onto as many singular directions. ``[B, 3 * width + 3]``.

    Args:
        width: the most features, at least 1.
    """

    def __init__(self, spec: GraphSpec, *, width: int = 32) -> None:
        above(0, width=width)
        self.width = width

    def applies(self, data: Any) -> bool:
        """Of nodes of a graph that is read as a whole."""
        return bool(data.spec.level == "node" and data.sampling == "whole")

    def __call__(self, view: View) -> Tensor:
        batch: Any = view.batch
        if "neighborhood" not in batch.memo:
            batch.memo["neighborhood"] = neighborhood(dense(batch.x), batch.edges, self.width)
        return of_samples(batch, batch.memo["neighborhood"])


def neighborhood(x_TF: Tensor, edges_2E: Tensor, width: int) -> Tensor:
    """``[T, 3 * min(F, width) + 3]``: see :class:`Neighborhood`."""
    from scipy.sparse import csr_matrix

    total, (source, target) = len(x_TF), edges_2E.cpu().numpy()
    adjacency = csr_matrix((np.ones(len(source)), (target, source)), shape=(total, total))
    x = x_TF.cpu().double().numpy()
    if x.shape[1] > width:
        from sklearn.decomposition import TruncatedSVD

        x = TruncatedSVD(min(width, total - 1), random_state=0).fit_transform(x)
    degree = np.asarray(adjacency.sum(1))
    mean = csr_matrix(adjacency / np.maximum(degree, 1))
    once = mean @ x
    pairs = np.maximum(degree * (degree - 1), 1)
    triangles = np.asarray((adjacency @ adjacency).multiply(adjacency).sum(1)) / pairs
    found = np.concatenate((x, once, mean @ once, np.log1p(degree), np.log1p(mean @ degree), triangles), axis=1)
    return torch.from_numpy(found.astype(np.float32))


class Fingerprints:
    """Bits of ECFP (https://doi.org/10.1021/ci100050t) of molecules whose SMILES are their names: ``[B, bits]``.

    Args:
        radius: of the neighborhoods of atoms, at least 0; 2 is ECFP4.
        bits: that they are hashed to, at least 1.
    """

    def __init__(self, spec: GraphSpec, *, radius: int = 2, bits: int = 2048) -> None:
        at_least(0, radius=radius)
        above(0, bits=bits)
        self.radius, self.bits = radius, bits
        self._molecules: list[Any] = []

    def applies(self, data: Any) -> bool:
        """Of a table of SMILES, where RDKit is at hand."""
        names = getattr(data, "names", ())
        if data.spec.level != "graph" or not names or importlib.util.find_spec("rdkit") is None:
            return False
        from rdkit import Chem, rdBase

        with rdBase.BlockLogs():
            self._molecules = [Chem.MolFromSmiles(name) for name in names]
        return None not in self._molecules

    def __call__(self, view: View) -> Tensor:
        from rdkit.Chem import rdFingerprintGenerator

        batch: Any = view.batch
        make = rdFingerprintGenerator.GetMorganGenerator(radius=self.radius, fpSize=self.bits)
        rows = [make.GetFingerprintAsNumPy(self._molecules[number]) for number in batch.ids.tolist()]
        return torch.from_numpy(np.stack(rows).astype(np.float32))
