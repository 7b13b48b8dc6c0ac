"""Texts of graphs: files are read and checked, summaries tell graphs apart, hashed words have length 1."""

import numpy as np
import pytest
import torch

from unlabeled.errors import UsageError
from unlabeled_graph.data.karate import Karate
from unlabeled_graph.data.motifs import Motifs
from unlabeled_graph.data.texts import hashed, read_texts, summaries


def test_texts_are_read_and_checked(tmp_path):
    path = tmp_path / "texts.npz"
    np.savez(path, embeddings=np.ones((5, 3)))
    assert read_texts(str(path), 5).shape == (5, 3)
    with pytest.raises(UsageError, match="the data has 6 samples"):
        read_texts(str(path), 6)
    np.savez(path, other=np.ones(3))
    with pytest.raises(UsageError, match="it must have embeddings"):
        read_texts(str(path), 5)
    with pytest.raises(UsageError, match="missing"):
        read_texts(str(tmp_path / "missing.npz"), 5)


@pytest.mark.parametrize("data", [Karate, Motifs])
def test_summaries_tell_samples_apart(data):
    found = summaries(data(None).__getitems__(range(4)))
    assert len(found) == 4
    assert len(set(found)) > 1
    torch.testing.assert_close(hashed(found, 64).norm(dim=1), torch.ones(4))
