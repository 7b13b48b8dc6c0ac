"""Speaker probes on features whose answer is known."""

import pytest
import torch

from unlabeled.contract import Embedded
from unlabeled_audio.data.syllables import Syllables
from unlabeled_audio.probes.speakers import Speaker, UnseenSpeaker, logistic, speakers_of, unseen_speakers


class Known:
    """Stands in for a frozen encoder: features by clip are given."""

    def __init__(self, data, x):
        self.data, self.x, self.seed = data, x, 0
        held = data.test
        self.train, self.test = torch.nonzero(~held)[:, 0], torch.nonzero(held)[:, 0]

    def embed(self, ids):
        return Embedded(self.x[ids], self.data.labels[ids], ids)


@pytest.fixture(scope="module")
def data():
    return Syllables(None)


def one_hot(y):
    return torch.nn.functional.one_hot(y).float()


def test_speakers_are_known_from_their_own_features_alone(data):
    assert Speaker()(Known(data, one_hot(data.speakers)))["accuracy"] == 1.0
    noise = torch.randn(len(data), 6, generator=torch.Generator().manual_seed(0))
    assert Speaker()(Known(data, noise))["accuracy"] < 0.4
    assert Speaker().chance(Known(data, noise))["accuracy"] == pytest.approx(1 / 6)


def test_who_speaks_is_asked_of_speakers_that_were_heard_though_the_split_keeps_them_apart(data):
    apart = Known(data, one_hot(data.speakers))
    apart.train, apart.test = (torch.nonzero(side)[:, 0] for side in (data.speakers < 4, data.speakers >= 4))
    assert Speaker()(apart)["accuracy"] == 1.0
    assert Speaker().chance(apart)["accuracy"] > 0


def test_a_class_that_is_said_otherwise_by_each_speaker_is_unknown_in_an_unheard_one(data):
    assert UnseenSpeaker()(Known(data, one_hot(data.labels)))["accuracy"] == 1.0
    own = one_hot(data.labels * 6 + data.speakers)  # one direction for each pair of speaker and class
    found = UnseenSpeaker()(Known(data, own))
    assert found["accuracy"] < 0.3
    assert found["worst"] <= found["accuracy"]


def test_each_speaker_is_left_out_in_turn():
    x = torch.tensor([[0.0], [1.0], [0.0], [1.0], [1.0], [0.0]])
    y, speaker = torch.tensor([0, 1, 0, 1, 0, 1]), torch.tensor([0, 0, 1, 1, 2, 2])
    assert unseen_speakers(x, y, speaker)[2] == 0.0  # the third speaker has it the other way round
    assert logistic(x[:2], y[:2], x[2:4], y[2:4]) == 1.0


def test_data_without_speakers_is_not_asked():
    class Plain:
        labels = torch.zeros(3)

    assert speakers_of(Plain()) is None
    assert not Speaker().applies(Plain())
    assert not UnseenSpeaker().applies(Plain())
