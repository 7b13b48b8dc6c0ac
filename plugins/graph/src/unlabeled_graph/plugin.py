"""Graphs for `unlabeled`: every component in one table. Rows are strings; nothing here imports torch.

Beside these, core brings objectives, probes, the random mask, optimizers and schedules; `recipes/` has the named
compositions.
"""

from functools import partial

from unlabeled.plugins import words
from unlabeled.plugins.words import Domain, hookimpl

row = partial(words.row, "unlabeled_graph")
FULL = ("tokens", "mask", "drop", "swap", "layers")  # of an encoder
ROWS = (
    row("data", "karate", "karate:Karate", "Zachary's karate club, 34 nodes, no download"),
    row("data", "blocks", "blocks:Blocks", "a generated stochastic block model with words"),
    row("data", "motifs", "motifs:Motifs", "generated graphs with rings, cliques, stars or ladders"),
    row("data", "files", "files:files", "a path: .npz, PyG's .pt, CSV, SMILES, triples, TUDataset, Planetoid"),
    row("views", "augment", "standard:Augment", "two views: links, nodes, columns dropped", "2006.04131"),
    row("views", "chosen", "standard:Chosen", "two views, each of one change at random", "2010.13902"),
    row("views", "plain", "standard:Plain", "the graph as it is, for masked objectives", "2205.10803"),
    row("views", "shuffle", "standard:Shuffle", "the graph, and one with its features permuted", "1809.10341",
        gives=("corrupt",)),
    row("views", "clean", "standard:Clean", "the graph as it is: what features are taken from", gives=("clean",)),
    row("views", "adaptive", "methods:Adaptive", "two views that spare what is central", "2010.14945"),
    row("views", "perturb", "methods:Perturb", "the graph, and edits of known distance", "2202.02989",
        gives=("perturbed",)),
    row("views", "thinned", "methods:Thinned", "links dropped, beside the whole graph", "2006.10141", gives=("clean",)),
    row("tokenizer", "features", "features:NodeFeatures", "the features of each node, and its kind",
        gives=("content", "ids")),
    row("tokenizer", "projected", "features:ProjectedFeatures", "features times a random matrix, dense",
        gives=("content",)),
    row("tokenizer", "codes", "codes:Codes", "features, and codes of a run of vqgraph", "2308.02117",
        gives=("content",)),
    row("mask", "nodes", "NodeMask", "hidden nodes, some of which show another's features", "2205.10803",
        gives=("hidden", "predict")),
    row("encoder", "gcn", "layers:GCN", "graph convolutional network", "1609.02907", gives=FULL),
    row("encoder", "gat", "layers:GAT", "graph attention network", "1710.10903", gives=FULL),
    row("encoder", "gin", "layers:GIN", "graph isomorphism network, GINE with edge features", "1810.00826", gives=FULL),
    row("encoder", "sage", "layers:SAGE", "GraphSAGE, mean of neighbors", "1706.02216", gives=FULL),
    row("encoder", "gps", "layers:GPS", "graph transformer: GIN beside attention over all nodes", "2205.12454",
        gives=FULL),
    row("encoder", "compgcn", "layers:CompGCN", "relational graph network, vectors of relations", "1911.03082",
        gives=FULL),
    row("encoder", "mlp", "layers:MLP", "a perceptron on each node, without edges", gives=FULL),
    row("encoder", "table", "table:Table", "a vector for each node, whatever its features", "1607.00653",
        gives=("tokens",)),
    row("encoder", "two_view", "two_view:TwoView", "a GCN for edges and one for their diffusion", "2006.05582",
        gives=("tokens", "swap")),
    row("decoder", "gat", "GATDecoder", "one attention layer, hidden rows alone", "2205.10803"),
    row("decoder", "gcn", "GCNDecoder", "one graph convolution, hidden rows alone", "2205.10803"),
    row("decoder", "gin", "GINDecoder", "one GIN layer, hidden rows alone", "2205.10803"),
    row("decoder", "mlp", "MLPDecoder", "a perceptron on each row"),
    row("objective", "mvgrl", "mvgrl:MVGRL", "nodes of one view, the graph of the other", "2006.05582"),
    row("objective", "d_sla", "d_sla:DSLA", "discrepancy by edit distance", "2202.02989"),
    row("objective", "pareto_gnn", "pareto_gnn:ParetoGNN", "five tasks, one descent", "2210.02016"),
    row("objective", "self_task", "self_task:SelfTask", "what a graph tells of itself", "2006.10141"),
    row("objective", "vgae", "vgae:VGAE", "links from noisy codes", "1611.07308"),
    row("objective", "node2vec", "node2vec:Node2Vec", "skip-gram over random walks", "1607.00653"),
    row("objective", "vqgraph", "vqgraph:VQGraph", "a codebook of local structures", "2308.02117"),
    row("objective", "vqgraph_student", "vqgraph_student:VQGraphStudent", "an MLP learns the codes of a run of vqgraph",
        "2308.02117"),
    row("objective", "graph_clip", "graph_clip:GraphCLIP", "graphs beside frozen texts", "2410.10329"),
    row("objective", "ssqr", "ssqr:SSQR", "a few codes for each entity", "2501.18119"),
    row("probe", "public", "nodes:PublicSplit", "linear probe on the data's own split", "2205.10803"),
    row("probe", "random_split", "nodes:RandomSplit", "linear probe, 10 / 10 / 80 by seed", "2006.04131"),
    row("probe", "svc", "graphs:SVC10Fold", "support vector machine in 10 folds", "1908.01000"),
    row("probe", "auc", "graphs:ScaffoldAUC", "ROC-AUC on the data's own split of graphs"),
    row("probe", "boosted", "boosted:Boosted", "trees on a node's neighborhood, without a model", "1706.09516"),
    row("probe", "facts", "facts:Facts", "held-out facts of a knowledge graph, ranked", "1412.6575"),
    row("probe", "links", "links:LinkPrediction", "AUC and AP of held-out links", "1611.07308"),
    row("baseline", "raw_features", "RawFeatures", "features as they are"),
    row("baseline", "propagated", "Propagated", "A^2 X, features smoothed twice", "1902.07153"),
    row("baseline", "counts", "Counts", "sums of features, nodes and edges of a graph"),
    row("baseline", "weisfeiler_lehman", "WeisfeilerLehman", "counts of hashed subtree labels"),
    row("baseline", "neighborhood", "Neighborhood", "features and counts of a node and two hops around it"),
    row("baseline", "fingerprints", "Fingerprints", "ECFP4 bits of molecules", "10.1021/ci100050t"),
    row("export", "native", "native:native", "weights that plain PyG loads, without this project"),
    row("preview", "views", "preview_views", "the views of a few samples, drawn side by side"),
    row("command", "texts", "texts", "write text embeddings for graph_clip and ssqr"),
    row("command", "codes", "codes", "write the codes of nodes, of a run of vqgraph or ssqr"),
)  # fmt: skip


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
