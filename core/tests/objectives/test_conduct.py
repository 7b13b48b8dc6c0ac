"""How the objectives of core behave: every law of the conduct suite, with small settings on toys."""

from unlabeled.objectives.alice import Alice
from unlabeled.objectives.barlow_twins import BarlowTwins
from unlabeled.objectives.bgrl import BGRL
from unlabeled.objectives.byol import BYOL, SimSiam
from unlabeled.objectives.cca_ssg import CCASSG
from unlabeled.objectives.cola import COLA
from unlabeled.objectives.ct import CT
from unlabeled.objectives.data2vec import Data2Vec
from unlabeled.objectives.dgi import DGI
from unlabeled.objectives.dino import DINO
from unlabeled.objectives.dinosr import DinoSR
from unlabeled.objectives.eat import EAT
from unlabeled.objectives.grace import GRACE
from unlabeled.objectives.graphcl import GraphCL
from unlabeled.objectives.graphmae import GraphMAE
from unlabeled.objectives.graphmae2 import GraphMAE2
from unlabeled.objectives.hubert import HuBERT, SoftUnits
from unlabeled.objectives.hubertopic import HuBERTopic
from unlabeled.objectives.i_jepa import IJEPA
from unlabeled.objectives.infograph import InfoGraph
from unlabeled.objectives.lejepa import LeJEPA
from unlabeled.objectives.lvm_med import LVMMed
from unlabeled.objectives.mae import MAE
from unlabeled.objectives.mert import MERT
from unlabeled.objectives.moco import MoCoV2, MoCoV3
from unlabeled.objectives.simclr import SimCLR
from unlabeled.objectives.simmim import SimMIM
from unlabeled.objectives.ssast import SSAST
from unlabeled.objectives.swav import SwAV
from unlabeled.objectives.vicreg import VICReg
from unlabeled.objectives.voco import VoCo
from unlabeled.objectives.vq_wav2vec import VQWav2Vec
from unlabeled.objectives.wav2vec2 import Wav2Vec2
from unlabeled.testing import parametrize_conduct
from unlabeled.testing.toys import ToyDecoder, ToyEncoder

CONTENT, UNITS = 4, 4
HEAD, DEEP = {"projector": (12, 6)}, {"projector": (12, 12, 6)}
MAKE = {
    "simclr": lambda e: SimCLR(e, **HEAD),
    "simclr_chunked": lambda e: SimCLR(e, **HEAD, chunk=3),
    "moco_v2": lambda e: MoCoV2(e, **HEAD, queue=20),
    "moco_v2_symmetric": lambda e: MoCoV2(e, **HEAD, queue=21, symmetric=True, chunk=3),
    "moco_v3": lambda e: MoCoV3(e, **DEEP, predictor=12),
    "moco_v3_chunked": lambda e: MoCoV3(e, **DEEP, predictor=12, chunk=3),
    "barlow_twins": lambda e: BarlowTwins(e, **HEAD),
    "lvm_med": lambda e: LVMMed(e, **HEAD, neighbors=2, rows=4),
    "vicreg": lambda e: VICReg(e, **HEAD),
    "byol": lambda e: BYOL(e, **HEAD, predictor=12),
    "simsiam": lambda e: SimSiam(e, **DEEP, predictor=4),
    "swav": lambda e: SwAV(e, hidden=16, dim=6, prototypes=10, freeze=0.05),
    "swav_queue": lambda e: SwAV(e, hidden=16, dim=6, prototypes=10, queue=12, queue_start=0.1, freeze=0),
    "dino": lambda e: DINO(e, hidden=16, bottleneck=6, prototypes=12, warmup_temperature=0.02, freeze_last=0.05),
    "lejepa": lambda e: LeJEPA(e, hidden=16, dim=6, slices=32),
    "cola": lambda e: COLA(e, width=6),
    "dgi": DGI,
    "infograph": InfoGraph,
    "grace": lambda e: GRACE(e, hidden=12, dim=6, chunk=4),
    "bgrl": lambda e: BGRL(e, predictor=12),
    "cca_ssg": CCASSG,
    "graphcl": lambda e: GraphCL(e, **HEAD, chunk=4),
    "ct": lambda e: CT(e, negatives=1),
    "ct_in_batch": lambda e: CT(e, in_batch=True),
    "voco": lambda e: VoCo(e, **HEAD),
    "voco_2025": lambda e: VoCo(e, **HEAD, variant="repo2025"),
    "mae": lambda e: MAE(e, ToyDecoder, CONTENT),
    "simmim": lambda e: SimMIM(e, CONTENT),
    "i_jepa": lambda e: IJEPA(e, width=12, depth=2, heads=2),
    "data2vec": lambda e: Data2Vec(e, layers=2),
    "data2vec_instance": lambda e: Data2Vec(e, layers=1, norm="instance", beta=0),
    "hubert": lambda e: HuBERT(e, UNITS, width=8),
    "hubert_visible": lambda e: HuBERT(e, UNITS, width=8, visible=0.5),
    "hubert_local": lambda e: HuBERT(e, UNITS, width=8),
    "best_rq": lambda e: HuBERT(e, UNITS, scores="linear"),
    "soft_units": lambda e: SoftUnits(e, UNITS, width=8),
    "hubertopic": lambda e: HuBERTopic(e, UNITS, 100, width=8, topics=3),
    "mert": lambda e: MERT(e, CONTENT, UNITS, width=4, books=1),
    "wav2vec2": lambda e: Wav2Vec2(e, width=8, code_width=6, groups=2, entries=3, distractors=4),
    "vq_wav2vec": lambda e: VQWav2Vec(e, width=6, groups=2, entries=3, steps=3, negatives=4, depth=2, kernel=3),
    "dinosr": lambda e: DinoSR(e, layers=2, entries=5),
    "ssast": lambda e: SSAST(e, CONTENT),
    "eat": lambda e: EAT(e, ToyDecoder, layers=2),
    "graphmae": lambda e: GraphMAE(e, ToyDecoder, CONTENT),
    "graphmae2": lambda e: GraphMAE2(e, ToyDecoder, CONTENT, projection=12),
    "alice": lambda e: Alice(e, ToyDecoder, CONTENT, **HEAD, heads=2, threshold=0.5),
}
EXPECTED = {
    ("ct", "order_does_not_matter"): "the negatives of a text are the next of the batch, as in the authors' code",
    ("dgi", "couples_as_it_says"): "nodes of one graph share a summary; toys are graphs, and each has its own",
    ("alice", "nothing_hidden_costs_nothing"): "crops are contrasted all the same",
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
