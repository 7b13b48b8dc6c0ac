"""Native export: a plain PyG module, ``torch_geometric.nn.Sequential`` of PyG's own layers, without this project.

``model.safetensors`` holds its ``state_dict``, ``preprocess.py`` what a graph goes through before; ``README.md`` the
lines that make the module again and load it. The module maps ``(x, edge_index)`` to one row a node; pooling is a
further line.

    # T nodes, F features of a node, D features of a row
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from unlabeled.runs.export import carry, readme
from unlabeled_graph.batch import GraphSpec
from unlabeled_graph.encoders.layers import GPS
from unlabeled_graph.encoders.network import GraphEncoder
from unlabeled_graph.ops.pyg import nn as pyg

WEIGHTS = "model.safetensors"
EDGE_GPS = (  # Sequential hands over no keywords
    "class EdgeGPS(GPSConv):",
    "    def forward(self, x, edge_index, batch, edge_attr):",
    "        return super().forward(x, edge_index, batch, edge_attr=edge_attr)",
    "",
)
WALKED = """    back = found["edge_index"].flip(0)  # walks go from a node to those that point at it
    found["x"] = AddRandomWalkPE({}, attr_name=None)(Data(x=found["x"], edge_index=back)).x"""
Step = tuple[str, str, str]  # name in the module, code that makes it, what it maps to what


def code_of(module: Any, encoder: Any = None) -> str:
    """Python that makes a module like this one, with weights of its own."""
    if isinstance(module, nn.Sequential):
        return f"torch.nn.Sequential({', '.join(code_of(part) for part in module)})"
    if isinstance(module, nn.Linear):
        return f"torch.nn.Linear({module.in_features}, {module.out_features}, bias={module.bias is not None})"
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return f"torch.nn.BatchNorm1d({module.num_features})"
    if isinstance(module, nn.LayerNorm):
        return f"torch.nn.LayerNorm({module.normalized_shape[0]})"
    if isinstance(module, (nn.PReLU, nn.ReLU, nn.ELU, nn.GELU)):
        return f"torch.nn.{type(module).__name__}()"
    if isinstance(module, pyg.GPSConv):
        named = ", ".join(f"{key}={value!r}" for key, value in encoder.named.items())
        name = "EdgeGPS" if encoder.reads_edges else "GPSConv"
        return f"{name}({module.channels}, {code_of(module.conv)}, {module.heads}, {module.dropout}, {named})"
    return _convolution(module)


def _convolution(module: Any) -> str:
    if isinstance(module, pyg.GINEConv):
        eps = isinstance(module.eps, nn.Parameter)
        return f"GINEConv({code_of(module.nn)}, train_eps={eps}, edge_dim={module.lin.in_channels})"
    if isinstance(module, pyg.GINConv):
        return f"GINConv({code_of(module.nn)}, train_eps={isinstance(module.eps, nn.Parameter)})"
    if isinstance(module, pyg.GATConv):
        sizes = f"{module.in_channels}, {module.out_channels}, {module.heads}"
        edge = "" if module.edge_dim is None else f", edge_dim={module.edge_dim}"
        return f"GATConv({sizes}, negative_slope={module.negative_slope}{edge})"
    assert isinstance(module, (pyg.GCNConv, pyg.SAGEConv)), module
    return f"{type(module).__name__}({module.in_channels}, {module.out_channels})"


def steps_of(encoder: GraphEncoder) -> list[Step]:
    """The parts of the module, in order."""
    steps: list[Step] = []
    for number, conv in enumerate(encoder.convs):
        source, out = ("x" if number == 0 else f"x{number}"), f"x{number + 1}"
        steps.append((f"conv{number}", code_of(conv, encoder), f"{_arguments(encoder, conv, source)} -> {out}"))
        if encoder.shape.residual:
            skip = encoder.skips[number]
            kept = source
            if isinstance(skip, nn.Linear):
                kept = f"s{number}"
                steps.append((f"skip{number}", code_of(skip), f"{source} -> {kept}"))
            steps.append((f"add{number}", "lambda a, b: a + b", f"{out}, {kept} -> {out}"))
        if number < len(encoder.activations):
            if not isinstance(encoder.norms[number], nn.Identity):
                steps.append((f"norm{number}", code_of(encoder.norms[number]), f"{out} -> {out}"))
            if not isinstance(encoder.activations[number], nn.Identity):
                steps.append((f"activation{number}", code_of(encoder.activations[number]), f"{out} -> {out}"))
    if encoder.shape.jump != "last":
        names = ", ".join(f"x{number + 1}" for number in range(len(encoder.convs)))
        join = {"cat": "torch.cat(x, 1)", "sum": "sum(x)", "max": "torch.stack(x).amax(0)"}[encoder.shape.jump]
        steps.append(("jump", f"lambda *x: {join}", f"{names} -> out"))
    return steps


def _arguments(encoder: GraphEncoder, conv: nn.Module, source: str) -> str:
    if isinstance(conv, nn.Linear):
        return source
    edge = ", edge_attr" if encoder.reads_edges else ""
    group = ", batch" if isinstance(conv, pyg.GPSConv) else ""
    return f"{source}, edge_index{group}{edge}"


def inputs(encoder: GraphEncoder) -> str:
    """The arguments of the module."""
    group = ", batch" if isinstance(encoder, GPS) else ""
    return f"x, edge_index{group}" + (", edge_attr" if encoder.reads_edges else "")


def snippet(encoder: GraphEncoder, spec: GraphSpec, folder: str) -> str:
    """Python that makes the module, loads the exported weights, and says what it wants to see."""
    layers = ",\n".join(
        f"    ({name!r}, ({code}, {signature!r}))" if "->" in signature else f"    ({name!r}, {code})"
        for name, code, signature in steps_of(encoder)
    )
    edge_gps = isinstance(encoder, GPS) and encoder.reads_edges
    used = sorted(set(re.findall(r"\w+Conv(?=\()", layers)) | ({"GPSConv"} if edge_gps else set()))
    walks = getattr(encoder, "walks", 0)
    given = ", ".join(f'found["{name}"]' for name in inputs(encoder).split(", "))
    vector = f"model({given})"
    if spec.level == "graph":
        used.append(
            {"mean": "global_mean_pool", "sum": "global_add_pool", "max": "global_max_pool"}[encoder.shape.pool]
        )
        vector = f'{used[-1]}({vector}, found["batch"], found["graphs"])'
    return "\n".join(
        (
            "import runpy",
            "from collections import OrderedDict",
            "",
            "import torch",
            "from safetensors.torch import load_file",
            *(["from torch_geometric.data import Data"] if walks else []),
            f"from torch_geometric.nn import {', '.join([*used, 'Sequential'])}",
            *(["from torch_geometric.transforms import AddRandomWalkPE"] if walks else []),
            "",
            *(EDGE_GPS if edge_gps else ()),
            f"folder = {folder!r}",
            'read = runpy.run_path(f"{folder}/preprocess.py")["read"]',
            f"model = Sequential({inputs(encoder)!r}, OrderedDict([\n{layers},\n]))",
            f'model.load_state_dict(load_file(f"{{folder}}/{WEIGHTS}"))',
            "model.eval()",
            f"# x: float [nodes, {spec.features + walks}]; edge_index: int64 [2, edges], both directions of a link",
            *([f"# edge_attr: float [edges, {spec.edge_features}]"] * encoder.reads_edges),
            "",
            "",
            "def vectors_of(found):",
            *([WALKED.format(walks)] if walks else []),
            f"    return {vector}",
            "",
            "",
            "def embed(graphs):",
            f'    """float32[N, D], one vector for each {spec.level} of these .npz files, or mappings of arrays."""',
            "    with torch.no_grad():",
            "        return torch.cat([vectors_of(read(graph)) for graph in graphs])",
        )
    )


def state_of(encoder: GraphEncoder) -> dict[str, Tensor]:
    """The module's ``state_dict``: the encoder's weights under the names of ``steps_of``."""
    names = {"convs": "conv", "norms": "norm", "activations": "activation", "skips": "skip"}
    out: dict[str, Tensor] = {}
    for key, value in encoder.state_dict().items():
        part, _, rest = key.partition(".")
        if part in names:
            number, _, name = rest.partition(".")
            out[f"{names[part]}{number}.{name}"] = value.detach().cpu().contiguous()
    return out


def native(encoder: Any, spec: GraphSpec, folder: Path, settings: Mapping[str, Any] | None = None) -> str:
    """Write weights, preprocessing and how to load them into ``folder``; returns the lines of Python that load them."""
    if not isinstance(encoder, GraphEncoder):
        raise ValueError(
            f"{type(encoder).__name__} is no stack of PyG layers: it has no native form; embed with it, or pre-train "
            "another encoder"
        )
    folder, chosen = Path(folder), settings or {}
    asked = {"features": spec.features, "normalize": chosen.get("normalize", "auto")}
    asked["undirected"] = chosen.get("undirected", True)
    carry(str(Path(__file__).with_name("preprocess.py")), folder, asked)
    save_file(state_of(encoder), folder / WEIGHTS, metadata={"format": "pt"})
    lines = snippet(encoder, spec, str(folder))
    about = "Weights for plain PyG, in PyG's own names; `preprocess.py` makes what they read of a graph."
    readme(folder / "README.md", type(encoder).__name__, about, lines)
    return lines
