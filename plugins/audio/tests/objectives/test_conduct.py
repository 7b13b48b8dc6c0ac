"""How the objectives of audio behave: every law of the conduct suite, on toys."""

from unlabeled.build import make
from unlabeled.testing import parametrize_conduct
from unlabeled.testing.toys import ToyDecoder

WIRED = {"decoder": ToyDecoder, "content": 4, "vocabulary": 4}


def of(name, **settings):
    return lambda encoder: make("audio", "objective", name, settings, {"encoder": encoder, **WIRED})


@parametrize_conduct(
    {
        "atst_frame": of("atst_frame", projector=(8, 6), predictor=8),
        "atst_both": of("atst_both", projector=(8, 6), predictor=8),
        "beats": of("beats"),
        "beats_tokenizer": of("beats_tokenizer", entries=5, width=6),
        "invariant_units": of("invariant_units", hidden=8),
        "frozen_units": of("invariant_units", hidden=8, frozen=True),
        "unfused": of("unfused", clusters=3),
    },
    expected_failures={("atst_both", "nothing_hidden_costs_nothing"): "the clip's vector is matched all the same"},
)
def test_conduct(objective, law):
    law(objective)
