"""Core's own components: every name in one table. They come through the same hook as anyone's."""

from collections.abc import Sequence
from functools import partial

from unlabeled.plugins import words
from unlabeled.plugins.words import Component, hookimpl

row = partial(words.row, "unlabeled")
MASKED = ("mask:hidden", "encoder:tokens", "encoder:mask")
CONTENT = (*MASKED, "tokenizer:content")
UNITS = (*MASKED, "tokenizer:ids")
LAYERS = (*MASKED, "encoder:layers")

ROWS = (
    # contrast: a sample's views against others
    row("objective", "simclr", "simclr:SimCLR", "NT-Xent between views of a batch", "2002.05709"),
    row("objective", "dcl", "dcl:DCL", "NT-Xent without the positive in the denominator", "2110.06848"),
    row("objective", "debiased", "debiased:Debiased", "others that may be of the same class, taken out", "2007.00224"),
    row("objective", "curl_blocks", "curl_blocks:CURLBlocks", "a view against means of blocks", "1902.09229"),
    row("objective", "isogclr", "isogclr:ISogCLR", "a temperature for each sample", "2305.11965"),
    row("objective", "nnclr", "nnclr:NNCLR", "the other view's nearest neighbor in a queue", "2104.14548"),
    row("objective", "icon", "icon:ICon", "learned neighborhoods follow those of views", "2504.16929"),
    row("objective", "mls", "mls:MLS", "neighbors in a queue as several labels", "2308.03286"),
    row("objective", "relational", "relational:Relational", "tell pairs of one sample from others", "2006.05849"),
    row("objective", "diet", "diet:DIET", "tell which sample of the data a view is of", "2302.10260"),
    row("objective", "moco_v2", "moco:MoCoV2", "InfoNCE against a queue of teacher keys", "2003.04297"),
    row("objective", "moco_v3", "moco:MoCoV3", "InfoNCE of student against teacher", "2104.02057"),
    row("objective", "grace", "grace:GRACE", "nodes between and within two views", "2006.04131"),
    row("objective", "graphcl", "graphcl:GraphCL", "two views of a graph among others", "2010.13902"),
    row("objective", "cola", "cola:COLA", "segments of a clip match, by a bilinear form", "2010.10915"),
    row("objective", "ct", "ct:CT", "two encoders agree on texts"),
    row("objective", "lvm_med", "lvm_med:LVMMed", "match two views of a batch as graphs", "2306.11925",
        asks=("encoder:tokens",)),
    # prediction of a teacher, or of oneself with the gradient stopped
    row("objective", "byol", "byol:BYOL", "predict a momentum teacher's projection", "2006.07733"),
    row("objective", "simsiam", "byol:SimSiam", "predict the other view, stop-gradient", "2011.10566"),
    row("objective", "unisiam", "unisiam:UniSiam", "and spread by a low-bias estimate", "2207.09176"),
    row("objective", "directpred", "directpred:DirectPred", "by a predictor in closed form", "2102.06810"),
    row("objective", "bgrl", "bgrl:BGRL", "predict a momentum teacher's node", "2102.06514"),
    # decorrelation: views agree, features differ
    row("objective", "barlow_twins", "barlow_twins:BarlowTwins", "correlation to identity", "2103.03230"),
    row("objective", "vicreg", "vicreg:VICReg", "variance, invariance, covariance", "2105.04906"),
    row("objective", "cca_ssg", "cca_ssg:CCASSG", "views agree, features decorrelate", "2106.12484"),
    row("objective", "w_mse", "w_mse:WMSE", "views agree after whitening", "2007.06346"),
    row("objective", "ssl_ey", "ssl_ey:SSLEY", "the Eckart-Young loss of correlation", "2310.01012"),
    row("objective", "t_regs", "t_regs:TREGS", "views agree, their spanning tree is long", "2510.23484"),
    row("objective", "koleo", "koleo:KoLeo", "views agree, nearest neighbors are far", "1806.03198"),
    row("objective", "mmcr", "mmcr:MMCR", "centroids of views span all directions", "2303.03307"),
    row("objective", "lejepa", "lejepa:LeJEPA", "invariance plus Gaussian SIGReg", "2511.08544"),
    # clusters and prototypes
    row("objective", "swav", "swav:SwAV", "swapped prediction of Sinkhorn codes", "2006.09882"),
    row("objective", "dino", "dino:DINO", "self-distillation over multi-crop", "2104.14294"),
    row("objective", "ibot", "ibot:IBOT", "self-distillation of samples and hidden rows", "2111.07832",
        asks=MASKED),
    # parts and wholes: rows against the summary of their sample, crops against others of theirs
    row("objective", "dgi", "dgi:DGI", "true nodes against those of a corrupted graph", "1809.10341",
        asks=("views:corrupt", "encoder:tokens", "encoder:swap")),
    row("objective", "infograph", "infograph:InfoGraph", "nodes with their own graph", "1908.01000",
        asks=("encoder:tokens",)),
    row("objective", "voco", "voco:VoCo", "overlap of crops with base crops", "2402.17300",
        asks=("views:base", "views:overlap")),
    row("objective", "alice", "alice:Alice", "masked volumes, matched anatomy", "2302.05615",
        asks=("mask:hidden", "tokenizer:content", "decoder:rows", "encoder:tokens", "encoder:drop")),
    # reconstruction of hidden content
    row("objective", "mae", "mae:MAE", "hidden content from visible tokens", "2111.06377",
        asks=("mask:hidden", "tokenizer:content", "decoder:rows", "encoder:tokens", "encoder:drop")),
    row("objective", "simmim", "simmim:SimMIM", "hidden content from mask tokens", "2111.09886",
        asks=CONTENT),
    row("objective", "ssast", "ssast:SSAST", "tell and restore hidden patches", "2110.09784", asks=CONTENT),
    row("objective", "graphmae", "graphmae:GraphMAE", "features of hidden nodes", "2205.10803",
        asks=(*CONTENT, "decoder:rows")),
    row("objective", "graphmae2", "graphmae2:GraphMAE2", "and codes of hidden nodes", "2304.04779",
        asks=(*CONTENT, "decoder:rows")),
    # regression of a teacher's features where rows are hidden
    row("objective", "i_jepa", "i_jepa:IJEPA", "predict a teacher's tokens of hidden blocks", "2301.08243",
        asks=("mask:hidden", "mask:predict", "encoder:tokens", "encoder:drop")),
    row("objective", "data2vec", "data2vec:Data2Vec", "regress a teacher's averaged layers", "2202.03555",
        asks=LAYERS),
    row("objective", "eat", "eat:EAT", "a teacher's frames and its utterance", "2401.03497",
        asks=("mask:hidden", "decoder:rows", "encoder:tokens", "encoder:drop", "encoder:layers")),
    # discrete units: given, learned beside, or a teacher's
    row("objective", "hubert", "hubert:HuBERT", "predict the units of hidden frames", "2106.07447",
        asks=UNITS),
    row("objective", "soft_units", "hubert:SoftUnits", "predict every frame's unit, softly", "2111.02392",
        asks=("tokenizer:ids", "encoder:tokens")),
    row("objective", "hubertopic", "hubertopic:HuBERTopic", "HuBERT and a clip's topic", "2310.03975",
        asks=UNITS),
    row("objective", "mert", "mert:MERT", "acoustic codes and constant-Q at hidden frames", "2306.00107",
        asks=(*UNITS, "tokenizer:content")),
    row("objective", "dinosr", "dinosr:DinoSR", "predict a teacher's online clusters", "2305.10005",
        asks=LAYERS),
    row("objective", "wav2vec2", "wav2vec2:Wav2Vec2", "hidden codes among others", "2006.11477",
        asks=(*MASKED, "encoder:local")),
    row("objective", "vq_wav2vec", "vq_wav2vec:VQWav2Vec", "predict future codes of a clip", "1910.05453",
        asks=("encoder:tokens",)),
    # the other kinds
    row("mask", "random", "random:RandomMask", "a fixed share of each group's rows, uniformly", "2111.06377",
        gives=("hidden",)),
    row("probe", "knn", "knn:KNN", "weighted cosine k nearest neighbours", "2104.14294"),
    row("probe", "linear", "linear:Linear", "logistic regression, C chosen on train"),
    row("probe", "ridge", "targets:Ridge", "ridge regression of numbers, strength chosen on train"),
    row("probe", "multilabel", "targets:MultiLabel", "logistic regression a label, C chosen on train"),
    row("probe", "neighbors", "targets:Neighbors", "targets averaged over nearest neighbors"),
    row("probe", "rankme", "rank:RankMe", "effective rank of the features", "2210.02885"),
    row("probe", "lidar", "rank:LiDAR", "effective rank of the between-sample scatter", "2312.04000"),
    row("probe", "alignment", "alignment:Alignment", "alignment and uniformity", "2005.10242"),
    row("probe", "deviation", "alignment:Deviation", "per-dimension deviation of the features"),
    row("probe", "kmeans", "clustering:KMeans", "k-means NMI and ARI against the labels"),
    row("optimizer", "adamw", "adamw", "AdamW, decoupled decay", "1711.05101"),
    row("optimizer", "adam", "adam", "Adam with L2 decay in the gradient", "1412.6980"),
    row("optimizer", "sgd", "sgd", "SGD with momentum"),
    row("optimizer", "lars", "LARS", "layer-wise adaptive rates over SGD", "1708.03888"),
    row("optimizer", "lamb", "LAMB", "layer-wise adaptive rates over Adam", "1904.00962"),
    row("schedule", "cosine", "Cosine", "warm-up, then cosine to a floor", "1608.03983"),
    row("schedule", "constant", "Constant", "warm-up, then constant"),
    row("schedule", "step", "Step", "warm-up, then drops at milestones"),
    row("schedule", "linear", "Linear", "warm-up, then linear to a floor"),
    row("schedule", "infinite", "Infinite", "warm-up, cooldown, constant, annealing", "2503.02844"),
    row("logger", "wandb", "wandb", "Weights & Biases", extra="unlabeled[wandb]"),
    row("logger", "mlflow", "mlflow", "MLflow", extra="unlabeled[mlflow]"),
)  # fmt: skip


@hookimpl
def unlabeled_components(domain: str) -> Sequence[Component]:
    return ROWS
