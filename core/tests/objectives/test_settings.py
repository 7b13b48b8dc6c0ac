"""Objectives name a setting that they cannot work with."""

import pytest

from unlabeled.objectives.barlow_twins import BarlowTwins
from unlabeled.objectives.bgrl import BGRL
from unlabeled.objectives.byol import BYOL, SimSiam
from unlabeled.objectives.data2vec import Data2Vec
from unlabeled.objectives.dcl import DCL
from unlabeled.objectives.dino import DINO
from unlabeled.objectives.grace import GRACE
from unlabeled.objectives.i_jepa import IJEPA
from unlabeled.objectives.lejepa import LeJEPA
from unlabeled.objectives.moco import MoCoV2, MoCoV3
from unlabeled.objectives.simclr import SimCLR
from unlabeled.objectives.swav import SwAV
from unlabeled.objectives.vicreg import VICReg
from unlabeled.testing.toys import ToyEncoder


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (SimCLR, {"temperature": 0.0}, "temperature is 0.0; it must be above 0"),
        (SimCLR, {"chunk": -1}, "chunk is -1"),
        (SimCLR, {"projector": ()}, "widths are .8,.; a head has an input and an output"),
        (MoCoV2, {"queue": 0}, "queue is 0; it must be above 0"),
        (MoCoV2, {"momentum": 1.1}, "momentum is 1.1; it must be in .0, 1."),
        (MoCoV2, {"projector": ()}, "widths are"),
        (MoCoV3, {"temperature": -1.0}, "temperature is -1.0"),
        (MoCoV3, {"predictor": 0}, "predictor is 0"),
        (MoCoV3, {"projector": ()}, "widths are"),
        (DCL, {"temperature": 0.0}, "temperature is 0.0; it must be above 0"),
        (DCL, {"sigma": -1.0}, "sigma is -1.0; it must be at least 0"),
        (BarlowTwins, {"redundancy": -1.0}, "redundancy is -1.0"),
        (VICReg, {"covariance": -1.0}, "covariance is -1.0"),
        (BYOL, {"momentum": -0.1}, "momentum is -0.1"),
        (BYOL, {"predictor": 0}, "predictor is 0"),
        (SimSiam, {"predictor": 0}, "predictor is 0"),
        (SwAV, {"temperature": 0.0}, "temperature is 0.0; it must be above 0"),
        (SwAV, {"prototypes": 1}, "prototypes is 1; it must be above 1"),
        (SwAV, {"queue": -1}, "queue is -1"),
        (SwAV, {"freeze": 2.0}, "freeze is 2.0"),
        (DINO, {"teacher_temperature": 0.0}, "teacher_temperature is 0.0"),
        (DINO, {"momentum": 1.5}, "momentum is 1.5"),
        (LeJEPA, {"weight": 1.5}, "weight is 1.5"),
        (LeJEPA, {"knots": 1}, "knots is 1; it must be above 1"),
        (IJEPA, {"width": 10, "heads": 3}, "heads must divide the width"),
        (IJEPA, {"momentum": -1.0}, "momentum is -1.0"),
        (Data2Vec, {"layers": 0}, "layers is 0"),
        (Data2Vec, {"beta": -1.0}, "beta is -1.0"),
        (Data2Vec, {"ramp": 1.1}, "ramp is 1.1"),
        (GRACE, {"temperature": 0.0}, "temperature is 0.0"),
        (BGRL, {"momentum": 1.5}, "momentum is 1.5"),
    ],
)
def test_a_wrong_setting_is_named(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(ToyEncoder(), **settings)
