"""Purposes of draws of graphs, beside those of every modality (``unlabeled.draw.Purpose``)."""

from enum import IntEnum, unique


@unique
class Use(IntEnum):
    """What a number is drawn for by this plugin alone."""

    PATH = 1024
    ADD = 1025
    CENTER = 1026
