"""Core's own components: every name in one table. They come through the same hook as anyone's."""

from __future__ import annotations

from collections.abc import Sequence

from unlabeled.plugins.words import Component, Kind, hookimpl


def _row(kind: Kind, name: str, target: str, summary: str, paper: str = "", extra: str = "") -> Component:
    return Component(kind=kind, name=name, target=f"unlabeled.{target}", summary=summary, paper=paper, extra=extra)


ROWS = (
    _row("objective", "simclr", "objectives.simclr:SimCLR", "NT-Xent between views of a batch", "2002.05709"),
    _row("objective", "moco_v2", "objectives.moco:MoCoV2", "InfoNCE against a queue of teacher keys", "2003.04297"),
    _row("objective", "moco_v3", "objectives.moco:MoCoV3", "InfoNCE of student against teacher", "2104.02057"),
    _row("objective", "barlow_twins", "objectives.barlow_twins:BarlowTwins", "correlation to identity", "2103.03230"),
    _row("objective", "vicreg", "objectives.vicreg:VICReg", "variance, invariance, covariance", "2105.04906"),
    _row("objective", "byol", "objectives.byol:BYOL", "predict a momentum teacher's projection", "2006.07733"),
    _row("objective", "simsiam", "objectives.byol:SimSiam", "predict the other view, stop-gradient", "2011.10566"),
    _row("objective", "swav", "objectives.swav:SwAV", "swapped prediction of Sinkhorn codes", "2006.09882"),
    _row("objective", "dino", "objectives.dino:DINO", "self-distillation over multi-crop", "2104.14294"),
    _row("objective", "lvm_med", "objectives.lvm_med:LVMMed", "match two views of a batch as graphs", "2306.11925"),
    _row("objective", "lejepa", "objectives.lejepa:LeJEPA", "invariance plus Gaussian SIGReg", "2511.08544"),
    _row("objective", "mae", "objectives.mae:MAE", "hidden content from visible tokens", "2111.06377"),
    _row("objective", "simmim", "objectives.simmim:SimMIM", "hidden content from mask tokens", "2111.09886"),
    _row("objective", "i_jepa", "objectives.i_jepa:IJEPA", "predict a teacher's tokens of hidden blocks", "2301.08243"),
    _row("objective", "data2vec", "objectives.data2vec:Data2Vec", "regress a teacher's averaged layers", "2202.03555"),
    _row("mask", "random", "masks.random:RandomMask", "a fixed share of each group's rows, uniformly", "2111.06377"),
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
