"""HuBERTopic: bags of units, and the topics that scikit-learn finds in them."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from sklearn.decomposition import LatentDirichletAllocation

from unlabeled.contract import Layout, Progress
from unlabeled.objectives.hubert import HuBERT
from unlabeled.objectives.hubertopic import HuBERTopic, bags, dirichlet_expectation, topic_shares
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_hide, toy_views


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


def test_each_unit_of_a_bag_is_shared_out_among_the_topics_that_explain_it():
    """phi[b, z, c] in proportion to exp(E[log theta_bz] + E[log beta_zc]); algorithm 2's sum over b of n_bc phi_bzc."""
    torch.manual_seed(0)
    counts, weight = torch.poisson(torch.full((5, 4), 2.0)), torch.rand(3, 4) + 0.1
    gamma, statistics = topic_shares(counts, weight, 0.4, 30)
    phi = (dirichlet_expectation(gamma)[:, :, None] + dirichlet_expectation(weight)[None]).softmax(1)
    torch.testing.assert_close(statistics, (counts[:, None] * phi).sum(0))
    torch.testing.assert_close(statistics.sum(0), counts.sum(0))


def start(**settings):
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = HuBERTopic(encoder, 7, 40, width=8, topics=3, **settings)
    views = [toy_hide(view, 5, n) for n, view in enumerate(toy_views(toy_batch(range(4)), ("global",) * 2, encoder))]
    return encoder, objective, [replace(view, ids=torch.randint(7, (64,))) for view in views]


def test_the_topic_of_a_clips_units_is_learned_beside_them():
    encoder, objective, views = start(topic=0.3)
    units = HuBERT(encoder, 7, width=8)
    units.head = objective.head
    losses = []
    for view in views:
        counts = torch.stack([torch.bincount(ids, minlength=7) for ids in view.ids.split(16)]).float()
        topic = topic_shares(counts, objective.lambda_, 1 / 3, 20)[0].argmax(1)
        pooled = encoder(view, hide="mask").pooled
        losses.append(F.cross_entropy(objective.classify(pooled), topic, reduction="none"))
    expected = units(encoder, views).total + 0.3 * torch.cat(losses).mean()
    torch.testing.assert_close(objective(encoder, views).total, expected)


def test_topics_move_to_what_the_clips_say_of_them():
    encoder, objective, views = start(rate=0.7, offset=10.0)
    objective(encoder, views)
    before = objective.lambda_.clone()
    counts = [torch.stack([torch.bincount(i, minlength=7) for i in v.ids.split(16)]).float() for v in views]
    statistics = sum(topic_shares(c, before, 1 / 3, 20)[1] for c in counts)
    objective.after_step(encoder, Progress(3, 10))
    share = 13.0**-0.7
    torch.testing.assert_close(objective.lambda_, (1 - share) * before + share * (1 / 3 + statistics * 40 / 8))
    objective.after_step(encoder, Progress(4, 10))  # nothing new was seen
    torch.testing.assert_close(objective.lambda_, (1 - share) * before + share * (1 / 3 + statistics * 40 / 8))
