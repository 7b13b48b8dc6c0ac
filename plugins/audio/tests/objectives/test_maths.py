"""The other objectives against their formulas written out, and what their papers promise."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import Layout
from unlabeled.draw import Draw
from unlabeled.objectives.cola import bilinear_scores
from unlabeled.objectives.dinosr import dinosr_loss
from unlabeled.objectives.hubertopic import bags, topic_shares
from unlabeled.objectives.ssast import discriminative_loss
from unlabeled.objectives.vq_wav2vec import CausalContext, draw_negatives, future_loss
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views
from unlabeled_audio.objectives.atst_frame import cosine_distance
from unlabeled_audio.objectives.invariant_units import (
    InvariantUnits,
    ctc_loss,
    edit_distance,
    unit_edit_distance,
    without_repeats,
)
from unlabeled_audio.objectives.unfused import distillation_loss


def ragged(*lengths):
    return Layout(lengths, torch.zeros(sum(lengths), 1))


# ------------------------------------------------------------------------------------------ SSAST, ATST, COLA, DinoSR


def test_ssast_matches_patches_within_a_spectrogram():
    torch.manual_seed(0)
    guess, content, layout = torch.randn(9, 4), torch.randn(9, 4), ragged(5, 4)
    losses = []
    for c, x in zip(guess.split((5, 4)), content.split((5, 4)), strict=True):
        losses += [
            -(c[i] @ x[i]) + torch.stack([c[i] @ x[j] for j in range(len(x))]).exp().sum().log() for i in range(len(x))
        ]
    torch.testing.assert_close(discriminative_loss(guess, content, layout), torch.stack(losses))


def test_cosine_distance_is_byols():
    torch.manual_seed(0)
    p, t = torch.randn(6, 4), torch.randn(6, 4)
    torch.testing.assert_close(cosine_distance(p, t), (F.normalize(p) - F.normalize(t)).square().sum(1))


def test_bilinear_scores_and_dinosr_written_out():
    torch.manual_seed(0)
    a, b, w = torch.randn(3, 4), torch.randn(5, 4), torch.randn(4, 4)
    expected = torch.stack([torch.stack([x @ w @ y for y in b]) for x in a])
    torch.testing.assert_close(bilinear_scores(a, b, w), expected)
    logits, ids = [torch.randn(6, 5) for _ in range(3)], [torch.randint(5, (6,)) for _ in range(3)]
    expected = torch.stack([-s.log_softmax(1)[torch.arange(6), i] for s, i in zip(logits, ids, strict=True)]).mean(0)
    torch.testing.assert_close(dinosr_loss(logits, ids), expected)


def test_distillation_is_the_softened_cross_entropy():
    torch.manual_seed(0)
    student, teacher = torch.randn(4, 5), torch.randn(4, 5)
    p = (teacher / 3).softmax(1)
    torch.testing.assert_close(distillation_loss(student, teacher, 3.0), -9 * (p * (student / 3).log_softmax(1)).sum(1))


# ------------------------------------------------------------------------------------------ vq-wav2vec


def test_future_loss_written_out():
    torch.manual_seed(0)
    lengths, ahead = (6, 3), 2
    predicted, code = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    place = draw_negatives(Draw(0, 0, torch.arange(2)), ragged(*lengths), 5)
    losses = []
    for clip, length in enumerate(lengths):
        for t in range(length - ahead):
            h = predicted[clip, t]
            truth = -F.logsigmoid(h @ code[clip, t + ahead])
            others = sum(-F.logsigmoid(-(h @ code[clip, j])) for j in place[clip, t + ahead])
            losses.append(truth + others)
    torch.testing.assert_close(future_loss(predicted, code, place, lengths, ahead), torch.stack(losses))
    assert place[1, :3].max() <= 2
    assert len(future_loss(predicted, code, place, lengths, 6)) == 0


def test_the_context_knows_no_future():
    torch.manual_seed(0)
    context, x = CausalContext(4, 3, 3), torch.randn(1, 10, 4)
    changed = x.clone()
    changed[:, 6:] += 1
    before, after = context(x), context(changed)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


# ------------------------------------------------------------------------------------------ units and their distance


@pytest.mark.parametrize(
    ("a", "b", "distance"), [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "abc", 0), ("flaw", "lawn", 2)]
)
def test_edit_distance(a, b, distance):
    assert edit_distance([*map(ord, a)], [*map(ord, b)]) == distance


def test_units_without_repeats_and_their_distance():
    ids = torch.tensor([1, 1, 2, 2, 2, 1, 1, 3])
    clean = without_repeats(ids, ragged(6, 2))
    assert [c.tolist() for c in clean] == [[1, 2, 1], [1, 3]]
    altered = [torch.tensor([1, 2, 1]), torch.tensor([3])]
    assert unit_edit_distance(clean, altered) == pytest.approx(0.25)


def test_ctc_is_the_sum_over_alignments():
    torch.manual_seed(0)
    scores = torch.randn(3, 3)  # three frames, two units and the blank
    p = scores.softmax(1)
    a, b, blank = 0, 1, 2
    paths = [(a, b, blank), (a, b, b), (a, a, b), (a, blank, b), (blank, a, b)]
    expected = -math.log(sum(math.prod(p[t, u].item() for t, u in enumerate(path)) for path in paths)) / 2
    found = ctc_loss(scores, ragged(3), [torch.tensor([a, b])])
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert ctc_loss(scores, ragged(3), [torch.tensor([a, b, a, b])]).item() == 0


# ------------------------------------------------------------------------------------------ topics


def test_a_frozen_encoder_gives_its_features_without_dropout_and_does_not_change():
    encoder = ToyEncoder(4, dropout=0.5)
    objective = InvariantUnits(encoder, 5, hidden=8, frozen=True)
    encoder.train()
    source, altered = toy_views(toy_batch(range(3), (8, 4)), ("source", "altered"), encoder)
    views = [replace(source, ids=torch.arange(24) % 5), altered]
    losses = [objective(encoder, views).total for _ in range(2)]
    losses[0].backward()
    assert torch.equal(*losses)
    assert encoder.training
    assert not any(p.requires_grad for p in encoder.parameters())
    assert all(p.grad is not None for p in objective.parameters())


def test_bags_count_units():
    found = bags(torch.tensor([0, 2, 2, 1, 1]), ragged(3, 2), 3)
    assert found.tolist() == [[1, 0, 2], [0, 2, 0]]


def test_topics_equal_scikit_learns_e_step():
    from sklearn.decomposition import LatentDirichletAllocation

    torch.manual_seed(0)
    counts = torch.poisson(torch.full((12, 7), 2.0)) + 1
    lda = LatentDirichletAllocation(
        3, doc_topic_prior=0.4, max_doc_update_iter=200, mean_change_tol=1e-9, random_state=0
    )
    lda.fit(counts.numpy())
    gamma, _ = topic_shares(counts.double(), torch.from_numpy(lda.components_).double(), 0.4, 200)
    expected = torch.from_numpy(lda.transform(counts.numpy())).double()
    torch.testing.assert_close(gamma / gamma.sum(1, keepdim=True), expected, rtol=1e-3, atol=1e-3)
