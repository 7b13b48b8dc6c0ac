"""Probes of speakers: who speaks, and classes of speakers that were never heard.

Both are logistic regression on standardized pooled features, C = 1. ``unseen_speaker`` leaves out one at a time:
the honest number of a small speech set, whose own split a filter bank all but solves.

    # N clips, D features
"""

import statistics
import warnings
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Asks, Data
from unlabeled.probes.frozen import Frozen
from unlabeled.probes.splits import TEST_SHARE, held_out

STEPS = 500


def logistic(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor) -> float:
    """Accuracy of scikit-learn's logistic regression on features that train standardizes."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler().fit(train_x.numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of steps is part of the protocol
        model = LogisticRegression(max_iter=STEPS).fit(scale.transform(train_x.numpy()), train_y.numpy())
    return float(model.score(scale.transform(test_x.numpy()), test_y.numpy()))


def speakers_of(data: Data) -> Tensor | None:
    """``int64[N]`` speaker of each clip, where the data names at least two."""
    speakers: Any = getattr(data, "speakers", None)
    return None if speakers is None or len(speakers[speakers >= 0].unique()) < 2 else speakers


def unseen_speakers(x_ND: Tensor, y_N: Tensor, speaker_N: Tensor) -> list[float]:
    """Accuracy on each speaker's clips of a model that learned from all the others'."""
    scores = []
    for speaker in speaker_N[speaker_N >= 0].unique():
        out = speaker_N == speaker
        scores.append(logistic(x_ND[~out], y_N[~out], x_ND[out], y_N[out]))
    return scores


class Speaker:
    """Speaker identification: who speaks in a held-out clip."""

    asks = Asks(reads="encoder")
    spec = (
        f"speaker-v1: standardized, L2 logistic regression with C 1, {STEPS} steps, on the data's split; where that "
        "keeps speakers apart, on a fifth of each speaker's clips"
    )

    def applies(self, data: Data) -> bool:
        """Whether the data names speakers."""
        return speakers_of(data) is not None

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        speakers = speakers_of(frozen.data)
        assert speakers is not None
        train, test = (frozen.embed(ids) for ids in _heard(frozen, speakers))
        assert train.ids is not None
        assert test.ids is not None
        return {"accuracy": logistic(train.x, speakers[train.ids], test.x, speakers[test.ids])}

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """The share in test of the speaker that is most frequent in train."""
        speakers = speakers_of(frozen.data)
        assert speakers is not None
        train, test = _heard(frozen, speakers)
        return {"accuracy": (speakers[test] == speakers[train].mode().values).float().mean().item()}


def _heard(frozen: Frozen, speakers_N: Tensor) -> tuple[Tensor, Tensor]:
    """Ids of clips to learn from and to be asked about, whose speakers are known: some are on both sides."""
    train, test = (ids[speakers_N[ids] >= 0] for ids in (frozen.train, frozen.test))
    if bool(torch.isin(speakers_N[test], speakers_N[train]).any()):
        return train, test
    ids = torch.cat((train, test)).sort().values
    by_speaker: Any = SimpleNamespace(labels=speakers_N)
    train, test = held_out(by_speaker, ids, frozen.seed, TEST_SHARE)
    return ids[train], ids[test]


class UnseenSpeaker:
    """Classes of a speaker whom the probe has never heard, one speaker left out at a time, over all clips."""

    asks = Asks(reads="encoder", labels=True)
    spec = (
        f"unseen_speaker-v1: standardized, L2 logistic regression with C 1, {STEPS} steps, on all clips of the other "
        "speakers; mean over speakers, and the least; the encoder may have heard all, without labels"
    )

    def applies(self, data: Data) -> bool:
        """Whether the data names speakers and classes."""
        return speakers_of(data) is not None and data.labels is not None

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        speakers = speakers_of(frozen.data)
        found = frozen.embed(torch.cat((frozen.train, frozen.test)).sort().values)
        assert speakers is not None
        assert found.y is not None
        assert found.ids is not None
        known = found.y >= 0
        scores = unseen_speakers(found.x[known], found.y[known], speakers[found.ids][known])
        return {"accuracy": statistics.mean(scores), "worst": min(scores)}
