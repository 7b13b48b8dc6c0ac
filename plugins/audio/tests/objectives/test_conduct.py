"""How the objectives of audio behave: every law of the conduct suite, on toys."""

from unlabeled.build import make
from unlabeled.testing import parametrize_conduct
from unlabeled.testing.toys import ToyDecoder
from unlabeled_audio.plugin import unlabeled_domain

WIRED = {"decoder": ToyDecoder, "content": 4, "vocabulary": 4}


def of(name, **settings):
    return lambda encoder: make("audio", "objective", name, settings, {"encoder": encoder, **WIRED})


MAKE = {
    "atst_frame": of("atst_frame", projector=(8, 6), predictor=8),
    "atst_both": of("atst_both", projector=(8, 6), predictor=8),
    "beats": of("beats"),
    "beats_tokenizer": of("beats_tokenizer", entries=5, width=6),
    "invariant_units": of("invariant_units", hidden=8),
    "frozen_units": of("invariant_units", hidden=8, frozen=True),
    "unfused": of("unfused", clusters=3, shallow=(0, 1)),
}
CTC = "CTC takes the lengths of its targets, which are in the data, from the host"
EXPECTED = {
    ("atst_both", "nothing_hidden_costs_nothing"): "the clip's vector is matched all the same",
    ("invariant_units", "waits_for_no_device"): CTC,
    ("frozen_units", "waits_for_no_device"): CTC,
}


@parametrize_conduct(MAKE, expected_failures=EXPECTED)
def test_conduct(objective, law):
    law(objective)


def test_no_objective_is_left_out():
    assert {row.name for row in unlabeled_domain().components if row.kind == "objective"} <= set(MAKE)
