"""Graphs for `unlabeled`: every component in one table. Rows are strings; nothing here imports torch.

Beside these, core brings objectives, probes, the random mask, optimizers and schedules; `recipes/` has the named
compositions.
"""

from __future__ import annotations

from unlabeled.plugins.words import Component, Domain, Kind, hookimpl


def _row(kind: Kind, name: str, target: str, summary: str, paper: str = "", extra: str = "") -> Component:
    return Component(
        kind=kind, name=name, target=f"unlabeled_graph.{target}", summary=summary, paper=paper, extra=extra
    )


ROWS = (
    _row("data", "karate", "data.karate:Karate", "Zachary's karate club, 34 nodes, no download"),
    _row("data", "blocks", "data.blocks:Blocks", "a generated stochastic block model with words"),
    _row("data", "motifs", "data.motifs:Motifs", "generated graphs with rings, cliques, stars or ladders"),
    _row("data", "files", "data.files:files", "a path: .npz, PyG's .pt, CSV, SMILES, TUDataset, Planetoid"),
    _row("views", "augment", "views.standard:Augment", "two views: links, nodes, columns dropped", "2006.04131"),
    _row("views", "chosen", "views.standard:Chosen", "two views, each of one change at random", "2010.13902"),
    _row("views", "plain", "views.standard:Plain", "the graph as it is, for masked objectives", "2205.10803"),
    _row("views", "shuffle", "views.standard:Shuffle", "the graph, and one with its features permuted", "1809.10341"),
    _row("views", "clean", "views.standard:Clean", "the graph as it is: what features are taken from"),
    _row("tokenizer", "features", "tokenizers.features:NodeFeatures", "the features of each node, and its kind"),
    _row("mask", "nodes", "masks:NodeMask", "hidden nodes, some of which show another's features", "2205.10803"),
    _row("encoder", "gcn", "encoders.layers:GCN", "graph convolutional network", "1609.02907"),
    _row("encoder", "gat", "encoders.layers:GAT", "graph attention network", "1710.10903"),
    _row("encoder", "gin", "encoders.layers:GIN", "graph isomorphism network, GINE with edge features", "1810.00826"),
    _row("encoder", "sage", "encoders.layers:SAGE", "GraphSAGE, mean of neighbors", "1706.02216"),
    _row(
        "encoder", "gps", "encoders.layers:GPS", "graph transformer: GIN beside attention over all nodes", "2205.12454"
    ),
    _row("encoder", "mlp", "encoders.layers:MLP", "a perceptron on each node, without edges"),
    _row("decoder", "gat", "decoders:GATDecoder", "one attention layer, hidden rows alone", "2205.10803"),
    _row("decoder", "gcn", "decoders:GCNDecoder", "one graph convolution, hidden rows alone", "2205.10803"),
    _row("decoder", "gin", "decoders:GINDecoder", "one GIN layer, hidden rows alone", "2205.10803"),
    _row("decoder", "mlp", "decoders:MLPDecoder", "a perceptron on each row"),
    _row("views", "adaptive", "views.methods:Adaptive", "two views that spare what is central", "2010.14945"),
    _row("views", "perturb", "views.methods:Perturb", "the graph, and edits of known distance", "2202.02989"),
    _row("views", "thinned", "views.methods:Thinned", "links dropped, beside the whole graph", "2006.10141"),
    _row("encoder", "table", "encoders.table:Table", "a vector for each node, whatever its features", "1607.00653"),
    _row(
        "encoder", "two_view", "encoders.two_view:TwoView", "a GCN for edges and one for their diffusion", "2006.05582"
    ),
    _row("objective", "mvgrl", "objectives.mvgrl:MVGRL", "nodes of one view, the graph of the other", "2006.05582"),
    _row("objective", "d_sla", "objectives.d_sla:DSLA", "discrepancy by edit distance", "2202.02989"),
    _row("objective", "pareto_gnn", "objectives.pareto_gnn:ParetoGNN", "five tasks, one descent", "2210.02016"),
    _row("objective", "self_task", "objectives.self_task:SelfTask", "what a graph tells of itself", "2006.10141"),
    _row("objective", "vgae", "objectives.vgae:VGAE", "links from noisy codes", "1611.07308"),
    _row("objective", "node2vec", "objectives.node2vec:Node2Vec", "skip-gram over random walks", "1607.00653"),
    _row("objective", "vqgraph", "objectives.vqgraph:VQGraph", "a codebook of local structures", "2308.02117"),
    _row("objective", "graph_clip", "objectives.graph_clip:GraphCLIP", "graphs beside frozen texts", "2410.10329"),
    _row("objective", "ssqr", "objectives.ssqr:SSQR", "a few codes for each entity", "2501.18119"),
    _row("probe", "public", "probes.nodes:PublicSplit", "linear probe on the data's own split", "2205.10803"),
    _row("probe", "random_split", "probes.nodes:RandomSplit", "linear probe, 10 / 10 / 80 by seed", "2006.04131"),
    _row("probe", "svc", "probes.graphs:SVC10Fold", "support vector machine in 10 folds", "1908.01000"),
    _row("probe", "auc", "probes.graphs:ScaffoldAUC", "ROC-AUC on the data's own split of graphs"),
    _row("probe", "links", "probes.links:LinkPrediction", "AUC and AP of held-out links", "1611.07308"),
    _row("baseline", "raw_features", "baselines:RawFeatures", "features as they are"),
    _row("baseline", "propagated", "baselines:Propagated", "A^2 X, features smoothed twice", "1902.07153"),
    _row("baseline", "counts", "baselines:Counts", "sums of features, nodes and edges of a graph"),
    _row("baseline", "weisfeiler_lehman", "baselines:WeisfeilerLehman", "counts of hashed subtree labels"),
    _row("export", "native", "export:native", "weights that plain PyG loads, without this project"),
    _row("preview", "views", "preview:preview_views", "the views of a few samples, drawn side by side"),
    _row("optimizer", "adam", "optimizers:adam", "Adam with L2 decay in the gradient", "1412.6980"),
    _row("tokenizer", "projected", "tokenizers.features:ProjectedFeatures", "features times a random matrix, dense"),
    _row("tokenizer", "codes", "tokenizers.codes:Codes", "features, and codes of a run of vqgraph", "2308.02117"),
    _row("command", "texts", "commands:texts", "write text embeddings for graph_clip and ssqr"),
    _row("command", "codes", "commands:codes", "write the codes of nodes, of a run of vqgraph or ssqr"),
)


@hookimpl
def unlabeled_domain() -> Domain:
    return Domain(
        name="graph",
        summary="graphs, and nodes of graphs",
        contract=1,
        sample="a node with float features [F] of one graph, or a graph of nodes [T, F] and edges [2, E]",
        spec="unlabeled_graph.batch:GraphSpec",
        components=ROWS,
        defaults={
            "data": "karate",
            "files": "files",
            "views": "augment",
            "clean": "clean",
            "tokenizer": "features",
            "mask": "nodes",
            "encoder": "gcn",
            "decoder": "gat",
            "objective": "simclr",
            "baseline": "raw_features",
            "export": "native",
            "preview": "views",
        },
        training={"batch_size": 0},
    )
