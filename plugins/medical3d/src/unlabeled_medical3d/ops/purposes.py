"""Purposes of draws of volumes, beside those of every modality (``unlabeled.draw.Purpose``)."""

from enum import IntEnum, unique


@unique
class Use(IntEnum):
    """What a number is drawn for by this plugin alone."""

    BRIGHTNESS = 1024
    CONTRAST = 1025
    RESOLUTION = 1026
    GAMMA = 1027
    BIAS = 1028
    APPLY = 1029
    CURVE = 1030
    SHUFFLE_PLACE = 1031
    SHUFFLE_ORDER = 1032
    PAINT = 1033
    TURN = 1034
    SLICE = 1036
    SHIFT = 1037
    SHUFFLE_APPLY = 1038
    PAINT_APPLY = 1039
    PAINT_SMALL = 1040
    PAINT_LARGE = 1041
    CUT = 1044
    CUT_BUDGET = 1045
    TILT = 1046
    PLACE = 1100
    COUNT = 1101
    SIDE = 1102
    LEVEL = 1103
    FLIP = 1104
    CENTER = 1110
    STRETCH = 1111
    PARTNER = 1112
