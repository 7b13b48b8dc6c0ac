"""How the objectives of core behave: every law of the conduct suite, with small settings on toys."""

from unlabeled.build import make
from unlabeled.plugins.core import ROWS
from unlabeled.testing import parametrize_conduct
from unlabeled.testing.toys import ToyDecoder, ToyEncoder

WIRED = {"decoder": ToyDecoder, "content": 4, "vocabulary": 4, "samples": 100}
HEAD, DEEP = {"projector": (12, 6)}, {"projector": (12, 12, 6)}


def of(name, **settings):
    return lambda encoder: make("core", "objective", name, settings, {"encoder": encoder, **WIRED})


MAKE = {
    "simclr": of("simclr", **HEAD),
    "simclr_chunked": of("simclr", **HEAD, chunk=3),
    "dcl": of("dcl", **HEAD, temperature=0.5),
    "dclw": of("dcl", **HEAD, temperature=0.5, sigma=0.5),
    "debiased": of("debiased", **HEAD),
    "debiased_hard": of("debiased", **HEAD, hardness=1.0),
    "curl_blocks": of("curl_blocks", **HEAD),
    "icon": of("icon", **HEAD),
    "icon_student": of("icon", **HEAD, learned="student", debias_learned=0.1),
    "icon_clusters": of("icon", **HEAD, learned="clusters", debias=0.1),
    "isogclr": of("isogclr", **HEAD),
    "mls": of("mls", **HEAD, neighbors=3, queue=20),
    "nnclr": of("nnclr", **DEEP, predictor=12, queue=20),
    "relational": of("relational", hidden=12),
    "diet": of("diet"),
    "unisiam": of("unisiam", **DEEP, predictor=4),
    "directpred": of("directpred", **HEAD),
    "w_mse": of("w_mse", **HEAD, size=6, iterations=2),
    "ssl_ey": of("ssl_ey", **HEAD),
    "t_regs": of("t_regs", **HEAD),
    "koleo": of("koleo", **HEAD),
    "mmcr": of("mmcr", **HEAD, within=0.1),
    "moco_v2": of("moco_v2", **HEAD, queue=20),
    "moco_v2_symmetric": of("moco_v2", **HEAD, queue=21, symmetric=True, chunk=3),
    "moco_v3": of("moco_v3", **DEEP, predictor=12),
    "moco_v3_chunked": of("moco_v3", **DEEP, predictor=12, chunk=3),
    "barlow_twins": of("barlow_twins", **HEAD),
    "lvm_med": of("lvm_med", **HEAD, neighbors=2, rows=4),
    "vicreg": of("vicreg", **HEAD),
    "byol": of("byol", **HEAD, predictor=12),
    "simsiam": of("simsiam", **DEEP, predictor=4),
    "swav": of("swav", hidden=16, dim=6, prototypes=10, freeze=0.05),
    "swav_queue": of("swav", hidden=16, dim=6, prototypes=10, queue=12, queue_start=0.1, freeze=0),
    "dino": of("dino", hidden=16, bottleneck=6, prototypes=12, warmup_temperature=0.02, freeze_last=0.05),
    "ibot": of("ibot", hidden=16, bottleneck=6, prototypes=12, freeze_last=0.05),
    "dinov2": of(
        "ibot", hidden=16, bottleneck=6, prototypes=12, freeze_last=0, shared=False, centering="sinkhorn", koleo=0.1
    ),
    "lejepa": of("lejepa", hidden=16, dim=6, slices=32),
    "cola": of("cola", width=6),
    "dgi": of("dgi"),
    "infograph": of("infograph"),
    "grace": of("grace", hidden=12, dim=6, chunk=4),
    "bgrl": of("bgrl", predictor=12),
    "cca_ssg": of("cca_ssg"),
    "graphcl": of("graphcl", **HEAD, chunk=4),
    "ct": of("ct", negatives=1),
    "ct_in_batch": of("ct", in_batch=True),
    "voco": of("voco", **HEAD),
    "voco_2025": of("voco", **HEAD, variant="repo2025"),
    "mae": of("mae"),
    "simmim": of("simmim"),
    "i_jepa": of("i_jepa", width=12, depth=2, heads=2),
    "data2vec": of("data2vec", layers=2),
    "data2vec_instance": of("data2vec", layers=1, norm="instance", beta=0),
    "hubert": of("hubert", width=8),
    "hubert_visible": of("hubert", width=8, visible=0.5),
    "hubert_local": of("hubert", width=8),
    "best_rq": of("hubert", scores="linear"),
    "soft_units": of("soft_units", width=8),
    "hubertopic": of("hubertopic", width=8, topics=3),
    "mert": of("mert", width=4, books=1),
    "wav2vec2": of("wav2vec2", width=8, code_width=6, groups=2, entries=3, distractors=4),
    "vq_wav2vec": of("vq_wav2vec", width=6, groups=2, entries=3, steps=3, negatives=4, depth=2, kernel=3),
    "vq_wav2vec_kmeans": of(
        "vq_wav2vec", quantizer="kmeans", width=6, groups=2, entries=3, steps=3, negatives=4, depth=2, kernel=3
    ),
    "dinosr": of("dinosr", layers=2, entries=5),
    "ssast": of("ssast"),
    "eat": of("eat", layers=2),
    "graphmae": of("graphmae"),
    "graphmae2": of("graphmae2", projection=12),
    "alice": of("alice", **HEAD, heads=2, threshold=0.5),
}
EXPECTED = {
    ("nnclr", "bfloat16_is_close"): "rounding chooses another nearest neighbor",
    ("ct", "order_does_not_matter"): "the negatives of a text are the next of the batch, as in the authors' code",
    ("dgi", "couples_as_it_says"): "nodes of one graph share a summary; toys are graphs, and each has its own",
    ("alice", "waits_for_no_device"): "how many crops have a match is in the data",
    ("directpred", "waits_for_no_device"): "its eigenvalues are solved for on the host",
    ("lvm_med", "waits_for_no_device"): "its matching is solved on the host",
    ("mmcr", "waits_for_no_device"): "singular values: the solver checks its errors",
    ("alice", "nothing_hidden_costs_nothing"): "crops are contrasted all the same",
    ("ibot", "nothing_hidden_costs_nothing"): "samples are matched all the same",
    ("dinov2", "nothing_hidden_costs_nothing"): "samples are matched all the same",
    ("eat", "nothing_hidden_costs_nothing"): "the utterance is regressed all the same",
    ("hubert_local", "nothing_hidden_costs_nothing"): "the penalty on convolutional features stays",
    ("hubert_visible", "nothing_hidden_costs_nothing"): "visible frames have a loss of their own",
    ("hubertopic", "nothing_hidden_costs_nothing"): "the topic is learned all the same",
    ("wav2vec2", "nothing_hidden_costs_nothing"): "the penalty on convolutional features stays",
}


def encoder(name):
    return ToyEncoder(local=5 if name in ("wav2vec2", "hubert_local") else 0)


@parametrize_conduct(MAKE, encoder=encoder, expected_failures=EXPECTED)
def test_conduct(objective, law):
    law(objective)


def test_no_objective_is_left_out():
    assert {row.name for row in ROWS if row.kind == "objective"} <= set(MAKE)
