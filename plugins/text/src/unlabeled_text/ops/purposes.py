"""Purposes of draws of text, beside those of every modality (``unlabeled.draw.Purpose``)."""

from enum import IntEnum, unique


@unique
class Use(IntEnum):
    """What a number is drawn for by this plugin alone."""

    SAMPLE = 1200
    PAIRS = 1201
    PERTURB = 1202
    DROPPED = 1203
    VECTOR = 1210  # of baseline random_vectors
