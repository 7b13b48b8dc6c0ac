"""Core's own components: every name in one table. They come through the same hook as anyone's."""

from __future__ import annotations

from collections.abc import Sequence

from unlabeled.plugins.words import Component, Kind, hookimpl


def _row(
    kind: Kind, name: str, target: str, summary: str, paper: str = "", extra: str = "", asks: str = "", gives: str = ""
) -> Component:
    return Component(
        kind=kind, name=name, target=f"unlabeled.{target}", summary=summary, paper=paper, extra=extra,
        asks=tuple(asks.split()), gives=tuple(gives.split()),
    )  # fmt: skip


MASKED = "mask:hidden encoder:tokens encoder:mask"
CONTENT = f"{MASKED} tokenizer:content"
UNITS = f"{MASKED} tokenizer:ids"
LAYERS = f"{MASKED} encoder:layers"

ROWS = (
    # contrast: a sample's views against others
    _row("objective", "simclr", "objectives.simclr:SimCLR", "NT-Xent between views of a batch", "2002.05709"),
    _row("objective", "dcl", "objectives.dcl:DCL", "NT-Xent without the positive in the denominator", "2110.06848"),
    _row("objective", "moco_v2", "objectives.moco:MoCoV2", "InfoNCE against a queue of teacher keys", "2003.04297"),
    _row("objective", "moco_v3", "objectives.moco:MoCoV3", "InfoNCE of student against teacher", "2104.02057"),
    _row("objective", "grace", "objectives.grace:GRACE", "nodes between and within two views", "2006.04131"),
    _row("objective", "graphcl", "objectives.graphcl:GraphCL", "two views of a graph among others", "2010.13902"),
    _row("objective", "cola", "objectives.cola:COLA", "segments of a clip match, by a bilinear form", "2010.10915"),
    _row("objective", "ct", "objectives.ct:CT", "two encoders agree on texts"),
    _row("objective", "lvm_med", "objectives.lvm_med:LVMMed", "match two views of a batch as graphs", "2306.11925",
         asks="encoder:tokens"),
    # prediction of a teacher, or of oneself with the gradient stopped
    _row("objective", "byol", "objectives.byol:BYOL", "predict a momentum teacher's projection", "2006.07733"),
    _row("objective", "simsiam", "objectives.byol:SimSiam", "predict the other view, stop-gradient", "2011.10566"),
    _row("objective", "bgrl", "objectives.bgrl:BGRL", "predict a momentum teacher's node", "2102.06514"),
    # decorrelation: views agree, features differ
    _row("objective", "barlow_twins", "objectives.barlow_twins:BarlowTwins", "correlation to identity", "2103.03230"),
    _row("objective", "vicreg", "objectives.vicreg:VICReg", "variance, invariance, covariance", "2105.04906"),
    _row("objective", "cca_ssg", "objectives.cca_ssg:CCASSG", "views agree, features decorrelate", "2106.12484"),
    _row("objective", "lejepa", "objectives.lejepa:LeJEPA", "invariance plus Gaussian SIGReg", "2511.08544"),
    # clusters and prototypes
    _row("objective", "swav", "objectives.swav:SwAV", "swapped prediction of Sinkhorn codes", "2006.09882"),
    _row("objective", "dino", "objectives.dino:DINO", "self-distillation over multi-crop", "2104.14294"),
    # parts and wholes: rows against the summary of their sample, crops against others of theirs
    _row("objective", "dgi", "objectives.dgi:DGI", "true nodes against those of a corrupted graph", "1809.10341",
         asks="views:corrupt encoder:tokens encoder:swap"),
    _row("objective", "infograph", "objectives.infograph:InfoGraph", "nodes with their own graph", "1908.01000",
         asks="encoder:tokens"),
    _row("objective", "voco", "objectives.voco:VoCo", "overlap of crops with base crops", "2402.17300",
         asks="views:base views:overlap"),
    _row("objective", "alice", "objectives.alice:Alice", "masked volumes, matched anatomy", "2302.05615",
         asks="mask:hidden tokenizer:content decoder:rows encoder:tokens encoder:drop"),
    # reconstruction of hidden content
    _row("objective", "mae", "objectives.mae:MAE", "hidden content from visible tokens", "2111.06377",
         asks="mask:hidden tokenizer:content decoder:rows encoder:tokens encoder:drop"),
    _row("objective", "simmim", "objectives.simmim:SimMIM", "hidden content from mask tokens", "2111.09886",
         asks=CONTENT),
    _row("objective", "ssast", "objectives.ssast:SSAST", "tell and restore hidden patches", "2110.09784", asks=CONTENT),
    _row("objective", "graphmae", "objectives.graphmae:GraphMAE", "features of hidden nodes", "2205.10803",
         asks=f"{CONTENT} decoder:rows"),
    _row("objective", "graphmae2", "objectives.graphmae2:GraphMAE2", "and codes of hidden nodes", "2304.04779",
         asks=f"{CONTENT} decoder:rows"),
    # regression of a teacher's features where rows are hidden
    _row("objective", "i_jepa", "objectives.i_jepa:IJEPA", "predict a teacher's tokens of hidden blocks", "2301.08243",
         asks="mask:hidden mask:predict encoder:tokens encoder:drop"),
    _row("objective", "data2vec", "objectives.data2vec:Data2Vec", "regress a teacher's averaged layers", "2202.03555",
         asks=LAYERS),
    _row("objective", "eat", "objectives.eat:EAT", "a teacher's frames and its utterance", "2401.03497",
         asks="mask:hidden decoder:rows encoder:tokens encoder:drop encoder:layers"),
    # discrete units: given, learned beside, or a teacher's
    _row("objective", "hubert", "objectives.hubert:HuBERT", "predict the units of hidden frames", "2106.07447",
         asks=UNITS),
    _row("objective", "soft_units", "objectives.hubert:SoftUnits", "predict every frame's unit, softly", "2111.02392",
         asks="tokenizer:ids encoder:tokens"),
    _row("objective", "hubertopic", "objectives.hubertopic:HuBERTopic", "HuBERT and a clip's topic", "2310.03975",
         asks=UNITS),
    _row("objective", "mert", "objectives.mert:MERT", "acoustic codes and constant-Q at hidden frames", "2306.00107",
         asks=f"{UNITS} tokenizer:content"),
    _row("objective", "dinosr", "objectives.dinosr:DinoSR", "predict a teacher's online clusters", "2305.10005",
         asks=LAYERS),
    _row("objective", "wav2vec2", "objectives.wav2vec2:Wav2Vec2", "hidden codes among others", "2006.11477",
         asks=f"{MASKED} encoder:local"),
    _row("objective", "vq_wav2vec", "objectives.vq_wav2vec:VQWav2Vec", "predict future codes of a clip", "1910.05453",
         asks="encoder:tokens"),
    # the other kinds
    _row("mask", "random", "masks.random:RandomMask", "a fixed share of each group's rows, uniformly", "2111.06377",
         gives="hidden"),
    _row("probe", "knn", "probes.knn:KNN", "weighted cosine k nearest neighbours", "2104.14294"),
    _row("probe", "linear", "probes.linear:Linear", "logistic regression, C chosen on train"),
    _row("probe", "rankme", "probes.rank:RankMe", "effective rank of the features", "2210.02885"),
    _row("probe", "lidar", "probes.rank:LiDAR", "effective rank of the between-sample scatter", "2312.04000"),
    _row("probe", "alignment", "probes.alignment:Alignment", "alignment and uniformity", "2005.10242"),
    _row("probe", "deviation", "probes.alignment:Deviation", "per-dimension deviation of the features"),
    _row("probe", "kmeans", "probes.clustering:KMeans", "k-means NMI and ARI against the labels"),
    _row("optimizer", "adamw", "training.optimizers:adamw", "AdamW, decoupled decay", "1711.05101"),
    _row("optimizer", "sgd", "training.optimizers:sgd", "SGD with momentum"),
    _row("optimizer", "lars", "training.optimizers:LARS", "layer-wise adaptive rates over SGD", "1708.03888"),
    _row("optimizer", "lamb", "training.optimizers:LAMB", "layer-wise adaptive rates over Adam", "1904.00962"),
    _row("schedule", "cosine", "training.schedules:Cosine", "warm-up, then cosine to a floor", "1608.03983"),
    _row("schedule", "constant", "training.schedules:Constant", "warm-up, then constant"),
    _row("schedule", "step", "training.schedules:Step", "warm-up, then drops at milestones"),
    _row("schedule", "linear", "training.schedules:Linear", "warm-up, then linear to a floor"),
    _row("schedule", "infinite", "training.schedules:Infinite", "warm-up, cooldown, constant, annealing", "2503.02844"),
    _row("logger", "wandb", "training.loggers:wandb", "Weights & Biases", extra="unlabeled[wandb]"),
    _row("logger", "mlflow", "training.loggers:mlflow", "MLflow", extra="unlabeled[mlflow]"),
)  # fmt: skip


@hookimpl
def unlabeled_components(domain: str) -> Sequence[Component]:
    return ROWS
