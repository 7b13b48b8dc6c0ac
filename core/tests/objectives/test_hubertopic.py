"""HuBERTopic: bags of units, and the topics that scikit-learn finds in them."""

import torch
from sklearn.decomposition import LatentDirichletAllocation

from unlabeled.contract import Layout
from unlabeled.objectives.hubertopic import bags, topic_shares


def test_bags_count_units():
    found = bags(torch.tensor([0, 2, 2, 1, 1]), Layout((3, 2), torch.zeros(5, 1)), 3)
    assert found.tolist() == [[1, 0, 2], [0, 2, 0]]


def test_topics_equal_scikit_learns_e_step():
    torch.manual_seed(0)
    counts = torch.poisson(torch.full((12, 7), 2.0)) + 1
    lda = LatentDirichletAllocation(
        3, doc_topic_prior=0.4, max_doc_update_iter=200, mean_change_tol=1e-9, random_state=0
    )
    lda.fit(counts.numpy())
    gamma, _ = topic_shares(counts.double(), torch.from_numpy(lda.components_).double(), 0.4, 200)
    expected = torch.from_numpy(lda.transform(counts.numpy())).double()
    torch.testing.assert_close(gamma / gamma.sum(1, keepdim=True), expected, rtol=1e-3, atol=1e-3)
