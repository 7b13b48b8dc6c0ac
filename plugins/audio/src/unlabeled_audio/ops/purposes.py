"""Purposes of draws of sound, beside those of every modality (``unlabeled.draw.Purpose``)."""

from enum import IntEnum, unique


@unique
class Use(IntEnum):
    """What a number is drawn for by this plugin alone."""

    COLOR = 2048
    ROOM = 2049
    ROOM_APPLY = 2050
    PITCH_APPLY = 2051
    NOISE_APPLY = 2052
    SNR = 2053
    POLARITY = 2054
    STRETCH_APPLY = 2058
    MIX_PLACE = 2055
    MIX_LEVEL = 2056
    MIX_NOISE = 2057
    LOG_MIX = 2064
    TIME = 2065
    FREQUENCY = 2066
    STRIPE_TIME = 2067
    STRIPE_BAND = 2068
