"""Graphs for `unlabeled`: every component in one table. Rows are strings; nothing here imports torch.

Beside these, core brings objectives, probes, the random mask, optimizers and schedules; `recipes/` has the named
compositions.
"""

from __future__ import annotations

from unlabeled.plugins import Component, Domain, Kind, hookimpl


def _row(kind: Kind, name: str, target: str, summary: str, paper: str = "", extra: str = "") -> Component:
    return Component(
        kind=kind, name=name, target=f"unlabeled_graph.{target}", summary=summary, paper=paper, extra=extra
    )


ROWS = (
    _row("data", "karate", "nodes:Karate", "Zachary's karate club, 34 nodes, no download"),
    _row("data", "blocks", "nodes:Blocks", "a generated stochastic block model with words"),
    _row("data", "motifs", "graphs:Motifs", "generated graphs with rings, cliques, stars or ladders"),
    _row("views", "augment", "views:Augment", "two views: links, nodes, columns dropped", "2006.04131"),
    _row("views", "plain", "views:Plain", "the graph as it is, for masked objectives", "2205.10803"),
    _row("views", "shuffle", "views:Shuffle", "the graph, and one with its features permuted", "1809.10341"),
    _row("views", "clean", "views:Clean", "the graph as it is: what features are taken from"),
    _row("tokenizer", "features", "tokenizers:NodeFeatures", "the features of each node, and its kind"),
    _row("mask", "nodes", "masks:NodeMask", "hidden nodes, some of which show another's features", "2205.10803"),
    _row("encoder", "gcn", "encoders:GCN", "graph convolutional network", "1609.02907"),
    _row("encoder", "gat", "encoders:GAT", "graph attention network", "1710.10903"),
    _row("encoder", "gin", "encoders:GIN", "graph isomorphism network, GINE with edge features", "1810.00826"),
    _row("encoder", "sage", "encoders:SAGE", "GraphSAGE, mean of neighbors", "1706.02216"),
    _row("encoder", "gps", "encoders:GPS", "graph transformer: GIN beside attention over all nodes", "2205.12454"),
    _row("encoder", "mlp", "encoders:MLP", "a perceptron on each node, without edges"),
    _row("decoder", "gat", "decoders:GATDecoder", "one attention layer, hidden rows alone", "2205.10803"),
    _row("decoder", "gcn", "decoders:GCNDecoder", "one graph convolution, hidden rows alone", "2205.10803"),
    _row("decoder", "gin", "decoders:GINDecoder", "one GIN layer, hidden rows alone", "2205.10803"),
    _row("decoder", "mlp", "decoders:MLPDecoder", "a perceptron on each row"),
)


@hookimpl
def unlabeled_domain() -> Domain:
    return Domain(
        name="graph",
        summary="graphs, and nodes of graphs",
        contract=1,
        sample="a node with float features [F] of one graph, or a graph of nodes [T, F] and edges [2, E]",
        spec="unlabeled_graph.data:GraphSpec",
        components=ROWS,
        defaults={
            "data": "karate",
            "views": "augment",
            "clean": "clean",
            "tokenizer": "features",
            "mask": "nodes",
            "encoder": "gcn",
            "decoder": "gat",
            "objective": "simclr",
        },
    )
