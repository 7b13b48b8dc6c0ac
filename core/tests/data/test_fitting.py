"""What is fitted sees train alone, whatever it asks its data for."""

from types import SimpleNamespace

import pytest
import torch

from unlabeled.data.fitting import fitting
from unlabeled.errors import PluginError


class Set(SimpleNamespace):
    def __len__(self):
        return 4

    def __getitems__(self, indices):
        return list(indices)

    def texts(self, ids):
        return [f"text {i}" for i in ids]


@pytest.fixture
def data():
    test = torch.tensor([False, True, False, True])
    return Set(labels=torch.arange(4), test=test, lengths=torch.arange(4) + 5, names=["a", "b", "c", "d"], spec=3,
               store=object(), targets=object())  # fmt: skip


def test_samples_of_train_alone(data):
    with fitting(data, torch.tensor([0, 2])) as train:
        assert len(train) == 4, "ids are those of the data"
        assert train.__getitems__([2, 0]) == [2, 0]
        assert train.texts([2]) == ["text 2"]
        assert train.lengths.tolist() == [5, 0, 7, 0]
        assert train.names == ["a", "", "c", ""]
        assert (train.labels, train.targets, train.spec) == (None, None, 3)
        assert train.test is data.test
        for ask in (lambda: train.__getitems__([0, 1]), lambda: train.texts(torch.tensor([3])), lambda: train.store):
            with pytest.raises(PluginError, match="what is fitted sees train alone"):
                ask()
    assert train.texts([3]) == ["text 3"], "what was fitted is applied to all"
