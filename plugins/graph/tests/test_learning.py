"""Every recipe learns: a linear probe of its features tells communities (or motifs) apart better than before training.

Nodes of a stochastic block model with few links and mixed words, where the untrained encoder is far from the top;
recipes of whole graphs on generated motifs in trees that are large beside them, where an untrained GIN has 73 to 76 %.
Of a recipe nothing is changed but the length of the run and the batch; ``graph_clip`` is given texts to learn from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unlabeled.build import Parts, build
from unlabeled.config.recipes import load_recipe, recipe_files
from unlabeled.config.run import merge, resolve
from unlabeled.contract import View
from unlabeled.testing.learning import pretrain
from unlabeled_graph.probes.nodes import accuracy

OF_GRAPHS = {"infograph", "graphcl", "d_sla"}
BLOCKS = {"name": "blocks", "nodes": 400, "degree": 4.0, "mixing": 0.5, "words": 512}
MOTIFS = {"name": "motifs", "count": 150, "smallest": 20, "largest": 40, "degrees": 3}
STEPS = 60
# CCA-SSG is stopped early, as in the paper (20 epochs on CiteSeer, 50 on Cora): views agree ever better by what is a
# node's alone, and the probe finds 0.80 after 10 steps, 0.78 after 30, 0.74 after 50; hidden nodes take more
OTHER_STEPS = {"cca_ssg": 30, "i_jepa": 200, "mae": 200}
MARGIN = 0.03


def parts_of(name: str, texts: Path | None = None) -> Parts:
    more: dict[str, Any] = {"data": MOTIFS if name in OF_GRAPHS else BLOCKS}
    more["training"] = {"batch_size": 64 if name in OF_GRAPHS else 0}
    if texts is not None:
        more["objective"] = {"texts": str(texts)}
    return build(resolve(merge(load_recipe("graph", name), more), "graph"))


def score(parts: Parts) -> float:
    """Mean accuracy of a linear probe on three random splits."""
    data: Any = parts.data
    parts.encoder.eval()
    with torch.no_grad():
        x = F.normalize(parts.encoder(View(data.__getitems__(range(len(data))), "clean")).pooled, dim=1)
    parts.encoder.train()
    splits = [data.split(seed, "random") for seed in range(3)]
    found = [accuracy(x, data.all_labels, s.train, s.test, lr=1e-2, decay=1e-4, epochs=300) for s in splits]
    return sum(found) / len(found)


def write_texts(path: Path) -> Path:
    """What a sentence encoder might say of each node: its community, and as much of something else."""
    y = torch.arange(BLOCKS["nodes"]) % 4  # type: ignore[operator]
    noise = torch.randn(len(y), 32, generator=torch.Generator().manual_seed(0))
    np.savez(path, embeddings=(F.one_hot(y, 32) + 0.2 * noise).numpy())
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", list(recipe_files("graph")))
def test_a_recipe_learns(name: str, tmp_path: Path) -> None:
    parts = parts_of(name, write_texts(tmp_path / "texts.npz") if name == "graph_clip" else None)
    before = score(parts)
    pretrain(parts, torch.arange(len(parts.data)), OTHER_STEPS.get(name, STEPS))
    after = score(parts)
    assert after > before + MARGIN, f"untrained {before:.3f}, pre-trained {after:.3f}"
