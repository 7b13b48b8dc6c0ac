"""k-means in memory and in one pass: the same for a seed, and as good as scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.cluster import MiniBatchKMeans

from unlabeled.nn.kmeans import k_means, means, nearest, stream


def blobs(count, rows, seed=0):
    random = np.random.default_rng(seed)
    centers = random.normal(0, 5, (count, 6))
    return torch.from_numpy(centers[random.integers(count, size=rows)] + random.normal(0, 1, (rows, 6))).float()


def inertia(x, centers):
    return float((x - centers[nearest(x, centers)]).square().sum(1).mean())


def test_nearest_is_by_distance():
    x, centers = torch.randn(300, 4), torch.randn(9, 4)
    assert torch.equal(nearest(x, centers), torch.cdist(x, centers).argmin(1))


def test_means_are_of_each_cluster():
    x = torch.tensor([[1.0], [3.0], [10.0]])
    middle, size = means(x, torch.tensor([0, 0, 2]), 3)
    assert middle[:, 0].tolist() == [2.0, 0.0, 10.0]
    assert size[:, 0].tolist() == [2.0, 0.0, 1.0]


def test_streamed_kmeans_is_as_good_as_scikit_learns():
    x = blobs(20, 6000)
    ours = stream(iter(x.split(250)), 20, 0, first=800)
    theirs = MiniBatchKMeans(20, batch_size=1024, n_init=3, random_state=0).fit(x.numpy()).cluster_centers_
    assert inertia(x, ours) < 1.1 * inertia(x, torch.from_numpy(theirs).float())
    assert torch.equal(ours, stream(iter(x.split(250)), 20, 0, first=800))


def test_an_empty_cluster_finds_rows():
    x = torch.cat((torch.zeros(50, 2), torch.ones(1, 2), 5 * torch.ones(1, 2)))
    assert len(torch.unique(nearest(x, k_means(x, 3, 0)))) == 3


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="5 rows make no 9 clusters"):
        stream(iter([torch.randn(5, 2)]), 9, 0, first=100)
