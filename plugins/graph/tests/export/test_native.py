"""Native export: the lines that are written make a plain PyG module that gives what the encoder gives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from graph_samples import many, single
from safetensors.torch import load_file

from unlabeled.cli.main import main
from unlabeled.contract import View
from unlabeled.testing.bare import embed_alone
from unlabeled_graph.batch import GraphSpec
from unlabeled_graph.encoders import layers as encoders
from unlabeled_graph.encoders.table import Table
from unlabeled_graph.export.native import WEIGHTS, native, state_of

CASES = [
    (encoders.GCN, {}),
    (encoders.GCN, {"norm": "batch", "residual": True, "jump": "cat", "depth": 3}),
    (encoders.GAT, {"jump": "max", "last": False, "norm": "layer", "activation": "elu"}),
    (encoders.GIN, {"train_eps": True}),
    (encoders.SAGE, {"jump": "sum"}),
    (encoders.GPS, {"norm": "batch"}),
    (encoders.MLP, {"activation": "gelu"}),
]


@pytest.mark.parametrize(("kind", "settings"), CASES)
@pytest.mark.parametrize("level", ["node", "graph"])
def test_the_exported_module_equals_the_encoder(kind, settings, level, tmp_path):
    torch.manual_seed(0)
    batch = single() if level == "node" else many().__getitems__([0, 1, 2, 3])
    spec = GraphSpec(6, level=level)
    encoder = kind(spec, width=8, **settings)
    encoder.train()(View(batch, "global"))  # moves the running statistics of BatchNorm
    encoder.eval()
    lines = native(encoder, spec, tmp_path)
    scope = {}
    exec(lines, scope)
    model = scope["model"]
    assert "unlabeled" not in lines.replace(str(tmp_path), "")
    found = {"x": batch.x, "edge_index": batch.edges, "batch": batch.group, "graphs": len(batch.lengths)}
    with torch.no_grad():
        assert torch.allclose(scope["vectors_of"](found), encoder(View(batch, "clean")).pooled, atol=1e-5)
    more = (batch.group,) if kind is encoders.GPS else ()
    with torch.no_grad():
        assert torch.allclose(model(batch.x, batch.edges, *more), encoder(View(batch, "clean")).tokens, atol=1e-5)
    assert set(load_file(tmp_path / WEIGHTS)) == set(state_of(encoder))
    assert lines.replace(repr(str(tmp_path)), "'.'  # of these files") in (tmp_path / "README.md").read_text()
    assert ("global_" in lines) is (level == "graph")


@pytest.mark.parametrize("kind", [encoders.GIN, encoders.GAT, encoders.GPS])
def test_edge_features_are_an_argument(kind, tmp_path):
    batch = single()
    batch = batch.altered(edge_attr=torch.rand(batch.edges.shape[1], 3))
    encoder = kind(GraphSpec(6, edge_features=3), width=8).eval()
    scope = {}
    exec(native(encoder, encoder.spec, tmp_path), scope)
    group = (batch.group,) if kind is encoders.GPS else ()
    with torch.no_grad():
        found = scope["model"](batch.x, batch.edges, *group, batch.edge_attr)
        assert torch.allclose(found, encoder(View(batch, "clean")).tokens, atol=1e-5)


def test_positions_are_those_of_pyg_s_transform(tmp_path):
    from torch_geometric.data import Data
    from torch_geometric.transforms import AddRandomWalkPE

    batch = single()
    encoder = encoders.GPS(GraphSpec(6), width=8, walks=4).eval()
    scope = {}
    lines = native(encoder, encoder.spec, tmp_path)
    assert "AddRandomWalkPE(4, " in lines
    exec(lines, scope)
    placed = AddRandomWalkPE(4, attr_name=None)(Data(x=batch.x, edge_index=batch.edges)).x
    with torch.no_grad():
        found = scope["model"](placed, batch.edges, batch.group)
        assert torch.allclose(found, encoder(View(batch, "clean")).tokens, atol=1e-5)


def test_what_is_no_pyg_module_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no native form"):
        native(Table(GraphSpec(6), rows=4), GraphSpec(6), tmp_path)


def words_of_papers(chance):
    """One graph: bags of words, links in one direction, loops and doubles."""
    edges = chance.integers(0, 30, (2, 90))
    return {
        "x": chance.poisson(0.2, (30, 80)).astype(np.float32),
        "edge_index": np.concatenate((edges, edges[:, :9]), 1),
    }


def molecules(chance):
    """Many graphs: integers of atoms and bonds, links in both directions."""
    half = np.concatenate([chance.integers(0, 6, (2, 9)) + 6 * graph for graph in range(5)], 1)
    bonds = chance.choice([2, 3, 4, 6], (45, 1))
    atoms = chance.integers(0, 2, (30, 7))
    return {"node_ptr": np.arange(0, 31, 6), "node_feat": atoms, "edge_index": np.concatenate((half, half[::-1]), 1),
            "edge_feat": np.concatenate((bonds, bonds))}  # fmt: skip


CARRIED = {
    "gcn": (words_of_papers, {"encoder": "gcn"}),
    "gps": (words_of_papers, {"encoder": "gps", "encoder.walks": 3, "data.undirected": "false"}),
    "gin": (molecules, {"encoder": "gin", "batch-size": 2}),
    "degrees": (lambda chance: {"edge_index": chance.integers(0, 30, (2, 60))}, {"encoder": "gcn", "data.degrees": 9}),
}


@pytest.mark.parametrize("name", CARRIED)
def test_files_give_what_embed_gives(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, words = CARRIED[name]
    np.savez("g.npz", **make(np.random.default_rng(0)))
    words = {"data": "g.npz", "epochs": 0, "encoder.width": 8, "out": "run", "objective": "simclr", **words}
    flags = [word for key, value in words.items() for word in (f"--{key}", str(value))]
    assert main(["graph", "pretrain", *flags, "--no-tensorboard"]) == 0
    assert main(["graph", "export", "run"]) == 0
    assert main(["graph", "embed", "run", "--data", "g.npz", "--out", "f.npz"]) == 0
    found = embed_alone(Path("run/export-native"), [str(tmp_path / "g.npz")])
    torch.testing.assert_close(found, torch.from_numpy(np.load("f.npz")["x"]), rtol=1e-5, atol=1e-5)
