"""How the objectives of graphs behave: every law of the conduct suite, on small random graphs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from unlabeled.build import make
from unlabeled.contract import Needs, View
from unlabeled.draw import Draw
from unlabeled.testing import parametrize_conduct
from unlabeled_graph.batch import GraphSpec, graph_batch, sort_edges
from unlabeled_graph.decoders import GCNDecoder
from unlabeled_graph.plugin import unlabeled_domain

SPEC = GraphSpec(features=6, level="graph")
WIRED = {"decoder": GCNDecoder, "content": SPEC.features, "samples": 100}
TASKS = ("degree", "links", "clusters", "attributes", "similarity")
VIEWS = {"perturbed": ("perturb", {}), "diffusion": ("shuffle", {"diffusion": True}), "clean": ("thinned", {})}


def of(name: str, **settings: Any) -> Callable[[Any], Any]:
    return lambda encoder: make("graph", "objective", name, settings, {"encoder": encoder, **WIRED})


MAKE = {
    "d_sla": of("d_sla", hidden=8),
    "graph_clip": of("graph_clip"),
    "mvgrl": of("mvgrl"),
    "node2vec": of("node2vec", length=4, window=2),
    "node2vec_far": of("node2vec", length=4, window=2, p=2.0, q=0.5),
    "pareto_gnn": of("pareto_gnn", projection=8),
    "ssqr": of("ssqr", codes=5, slots=2, code_dim=4),
    "vgae": of("vgae"),
    "vqgraph": of("vqgraph", codes=5),
    "vqgraph_student": of("vqgraph_student"),
    "self_task": of("self_task"),
    **{f"self_task_{task}": of("self_task", task=task, centers=2) for task in TASKS},
}

EXPECTED = {
    (name, "waits_for_no_device"): reason
    for names, reason in {
        ("d_sla",): "how many edits differ is in the data",
        ("graph_clip",): "graphs are told in words on the host",
        ("node2vec", "node2vec_far", "ssqr"): "which links are alike is looked up once a batch",
        ("pareto_gnn",): "its weights are solved for on the host; the pretended device cannot follow",
        (
            "vgae",
            "vqgraph",
            "self_task",
            "self_task_links",
            "self_task_similarity",
        ): "links that are not there are drawn",
        ("self_task_clusters",): "clusters are made on the host, once a batch",
    }.items()
    for name in names
}


def encoder(name: str) -> Any:
    return make("graph", "encoder", "gcn", {"width": 8, "depth": 2}, {"spec": SPEC})


def graph(number: int) -> tuple[torch.Tensor, torch.Tensor, None]:
    """A random tree of 6 or 10 nodes with one link more; the features follow from the number, too."""
    count, draw = 6 + 4 * (number % 2), Draw(0, 0, torch.tensor([number]))
    parent = (draw.uniform(count, 2000)[0] * torch.arange(count)).long()
    links = torch.stack((torch.arange(count), parent))
    links[:, 0] = torch.tensor([0, count - 1]) if parent[-1] else torch.tensor([1, count - 1])
    x = draw.normal(count * SPEC.features, 2001).view(count, -1)
    return x, sort_edges(torch.cat((links, links.flip(0)), 1), count)[0], None


def views(encoder: Any, needs: Needs, ids: Sequence[int], scale: float, dtype: torch.dtype) -> list[View]:
    roles = (*needs.views, *needs.uses)
    name, settings = next((VIEWS[role] for role in roles if role in VIEWS), ("plain", {}))
    if needs.views["global"] == 2:
        name = "augment"
    batch = graph_batch(ids, [graph(number) for number in ids])
    draw = Draw(0, 0, batch.ids)
    made: list[View] = make("graph", "views", name, settings, {"spec": SPEC})(batch.altered(x=scale * batch.x), draw)
    return [prepared(encoder, needs, view, draw.at(number), dtype) for number, view in enumerate(made)]


def prepared(encoder: Any, needs: Needs, view: View, draw: Draw, dtype: torch.dtype) -> View:
    batch: Any = view.batch
    weight = None if batch.weight is None else batch.weight.to(dtype)
    batch = batch.altered(x=batch.x.to(dtype), weight=weight)
    view = replace(view, batch=batch, layout=encoder.layout(batch), content=batch.x)
    if needs.hidden and view.role == "global":
        view = make("graph", "mask", "nodes", {"ratio": 0.5}, {})(view, draw)
    return view


@parametrize_conduct(MAKE, views, encoder=encoder, expected_failures=EXPECTED)
def test_conduct(objective: Any, law: Any) -> None:
    law(objective)


def test_no_objective_is_left_out() -> None:
    assert {row.name for row in unlabeled_domain().components if row.kind == "objective"} <= set(MAKE)
