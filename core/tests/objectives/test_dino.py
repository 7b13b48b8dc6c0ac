"""DINO against lightly 1.6.0, and its centre, temperatures, frozen layer and teacher."""

import pytest
import torch
from lightly.loss import DINOLoss

from unlabeled.contract import Progress
from unlabeled.nn.clock import after_step
from unlabeled.nn.distillation import entropy, teacher_probabilities
from unlabeled.objectives import dino
from unlabeled.objectives.dino import DINO, dino_loss
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_views

B, K = 64, 48


@pytest.fixture
def outputs():
    """Teacher and student outputs of the shared conformance fixture."""
    torch.manual_seed(0)
    torch.randn(64, 32), torch.randn(64, 32), torch.randn(48, 32)
    return torch.randn(2, B, K), torch.randn(4, B, K)


def toy(**settings):
    torch.manual_seed(0)
    encoder = ToyEncoder()
    settings = {"hidden": 16, "bottleneck": 6, "prototypes": 12, "freeze_last": 0.0} | settings
    return encoder, DINO(encoder, **settings)


def test_golden_value(outputs):
    teacher, student = outputs
    assert dino_loss(student, teacher, torch.zeros(K)).item() == pytest.approx(23.461279, rel=1e-6)


@pytest.mark.parametrize("views", [2, 4])
def test_equals_lightly_also_once_centered(outputs, views):
    teacher, student = outputs[0], outputs[1][:views]
    oracle = DINOLoss(K, teacher_temp=0.07)
    for center in (torch.zeros(K), 0.1 * teacher.mean((0, 1))):
        loss = dino_loss(student, teacher, center, teacher_temperature=0.07)
        torch.testing.assert_close(loss, oracle(list(teacher), list(student), teacher_temp=0.07), rtol=1e-5, atol=0)
    # the oracle has no gradient through its targets either
    torch.testing.assert_close(oracle.center.flatten(), 0.19 * teacher.mean((0, 1)), rtol=1e-5, atol=1e-7)


def test_the_best_student_reaches_the_teachers_entropy(outputs):
    teacher = outputs[0][:1].expand(2, -1, -1)
    target = teacher_probabilities(teacher, torch.zeros(K), 0.1)
    loss = dino_loss(teacher, teacher, torch.zeros(K), teacher_temperature=0.1)
    torch.testing.assert_close(loss, entropy(target))
    assert entropy(torch.eye(5)) == 0
    torch.testing.assert_close(entropy(torch.full((3, 8), 1 / 8)), torch.tensor(8.0).log())


def test_one_view_has_no_other(outputs):
    teacher, student = outputs
    with pytest.raises(ValueError, match="needs a view that the teacher's is not; found 1"):
        dino_loss(student[:1], teacher[:1], torch.zeros(K))


def mean_output(objective, views):
    with torch.no_grad():
        seen = [view for view in views if view.role == "global"]
        return torch.cat(
            [objective.teacher.head(objective.teacher.encoder(v).pooled, torch.ones(())) for v in seen]
        ).mean(0)


def literal_loss(encoder, objective, views, center, temperature):
    """Equation 2 written out: student against teacher over pairs of different views, wherever the local views stand."""
    learn = torch.ones(())
    total, pairs = 0.0, 0
    for i, seen in enumerate(views):
        if seen.role != "global":
            continue
        with torch.no_grad():
            t = objective.teacher.head(objective.teacher.encoder(seen).pooled, learn)
            p = torch.softmax((t - center) / temperature, dim=1)
        for j, view in enumerate(views):
            if i != j:
                s = torch.log_softmax(objective.head(encoder(view).pooled, learn) / 0.1, dim=1)
                total, pairs = total - (p * s).sum(1).mean(), pairs + 1
    return total / pairs


def test_objective_is_the_formula_with_center_warm_up_and_any_order_of_views():
    encoder, objective = toy(teacher_temperature=0.08, warmup_temperature=0.04, warmup=0.5)
    views = toy_views(toy_batch(range(4)), ("local", "global", "local", "global"))
    for step, temperature in enumerate((0.04, 0.056, 0.072, 0.08, 0.08)):
        loss = objective(encoder, views)
        center = objective.center if step else mean_output(objective, views)
        torch.testing.assert_close(loss.total, literal_loss(encoder, objective, views, center, temperature))
        assert loss.parts["kl"] > 0
        torch.testing.assert_close(loss.parts["kl"] + loss.parts["teacher_entropy"], loss.total.detach())
        after_step(objective, encoder, Progress(2 * (step + 1), 10))


def test_center_follows_the_mean_of_a_step_once_whatever_the_accumulation():
    encoder, objective = toy(center_momentum=0.75, momentum=1.0)
    expected = torch.zeros(12)
    for step, weight in enumerate((1.0, 0.25), 1):  # the first step's mean stands for all before it
        for ids in (range(3), range(3, 6)):  # two micro-batches
            objective(encoder, toy_views(toy_batch(ids)))
        torch.testing.assert_close(objective.center, expected)
        after_step(objective, encoder, Progress(step, 10))
        expected = expected.lerp(mean_output(objective, toy_views(toy_batch(range(6)))), weight)
        torch.testing.assert_close(objective.center, expected)
        with torch.no_grad():
            objective.teacher.head.layers[0].weight.mul_(-1.0)
    after_step(objective, encoder, Progress(3, 10))
    torch.testing.assert_close(objective.center, expected)


def test_what_all_samples_share_teaches_nothing_from_the_first_step_on():
    """A teacher that cannot tell samples apart gives the uniform target, not the direction that it happens to have."""
    encoder, objective = toy()
    for copy in (objective.teacher.head, objective.head):
        torch.nn.init.constant_(copy.layers[-1].bias, 5.0)
    loss = objective(encoder, toy_views(toy_batch(range(8))))
    torch.testing.assert_close(loss.parts["teacher_entropy"], torch.tensor(12.0).log(), rtol=1e-3, atol=0)


def test_batch_norm_tells_samples_apart_at_the_start():
    spread = {}
    for norm in ("none", "batch"):
        encoder, objective = toy(norm=norm)
        assert objective.needs.couples == (norm == "batch")
        z = torch.nn.functional.normalize(objective.head.layers(encoder(toy_views(toy_batch(range(32)))[0]).pooled))
        spread[norm] = float((z - z.mean(0)).pow(2).sum(1).mean().detach())
    assert spread["batch"] > 2 * spread["none"]


def test_teacher_moves_by_a_cosine_to_a_standstill():
    encoder, objective = toy(momentum=0.5)
    before = objective.teacher.head.prototypes.clone()
    with torch.no_grad():
        objective.head.prototypes += 1
    after_step(objective, encoder, Progress(5, 10))  # momentum 0.75 half way
    torch.testing.assert_close(objective.teacher.head.prototypes, before + 0.25)
    after_step(objective, encoder, Progress(10, 10))
    torch.testing.assert_close(objective.teacher.head.prototypes, before + 0.25)


def test_the_last_layer_is_frozen_early_and_only_there():
    encoder, objective = toy(freeze_last=0.2)
    views = toy_views(toy_batch(range(4)))
    for step in range(1, 5):
        last, first = torch.autograd.grad(
            objective(encoder, views).total, [objective.head.prototypes, objective.head.layers[0].weight]
        )
        assert (last.abs().sum() > 0) == (step > 2)
        assert first.abs().sum() > 0
        after_step(objective, encoder, Progress(step, 10))


def test_ranks_talk_in_a_forward_pass_of_the_first_step_alone(monkeypatch):
    """Later the center is known, and is brought up to date after the step: nothing waits for other ranks between."""
    calls = []
    monkeypatch.setattr(dino, "mean_over_ranks", lambda x: calls.append(x) or x)
    encoder, objective = toy()
    views = toy_views(toy_batch(range(4)))
    found = []
    for step in (1, 2):
        objective(encoder, views)
        found.append(len(calls))
        after_step(objective, encoder, Progress(step, 10))
        found.append(len(calls))
    assert found == [1, 2, 2, 3]
