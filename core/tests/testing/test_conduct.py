"""The conduct suite: an objective that keeps every law passes, and each law finds the one that breaks it."""

import pytest
import torch
from torch import nn

from unlabeled.contract import Loss, Needs
from unlabeled.errors import UsageError
from unlabeled.nn.distributed import union_mean, world
from unlabeled.nn.teacher import Teacher
from unlabeled.testing import parametrize_conduct
from unlabeled.testing.laws import LAWS, evaluation_changes_no_state, saved_state_goes_on
from unlabeled.testing.toys import ToyEncoder, views_for


class Fair(nn.Module):
    """Restores the content of hidden rows, as SimMIM does."""

    couples = False

    def __init__(self, encoder):
        super().__init__()
        self.needs = Needs(
            views={"global": 1}, hidden=True, content=1, encoder=frozenset({"tokens", "mask"}), couples=self.couples
        )
        self.head = nn.Linear(encoder.dim, 4)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, encoder, views):
        index = views[0].hidden.index
        error = self.head(encoder(views[0]).tokens[index]).float() - views[0].content[index]
        return Loss(self.total(error.to(views[0].content).square().mean(1), encoder, views))

    def total(self, rows, encoder, views):
        return mean(rows)


def unfair(total, **more):
    """A fair objective but for its ``total(rows, it, encoder, views)``."""
    change = {"total": lambda it, rows, encoder, views: total(rows, it, encoder, views), **more}
    return lambda encoder: type("Unfair", (Fair,), change)(encoder)


def mean(rows, *_):
    return union_mean(rows)


class Idle(Fair):
    def __init__(self, encoder):
        super().__init__(encoder)
        self.idle = nn.Linear(2, 2)


class Greedy(Fair):
    def __init__(self, encoder):
        super().__init__(encoder)
        self.encoder = encoder


class Forgetful(Fair):
    step = 0

    def total(self, rows, encoder, views):
        return mean(rows) * (1 + self.step)

    def after_step(self, encoder, progress):
        self.step = progress.step


class Stays(Fair):
    """Its teacher never moves."""

    def __init__(self, encoder):
        super().__init__(encoder)
        self.teacher = Teacher(encoder=encoder)


class Remembers(Fair):
    """What it sees in evaluation, it learns from at the next step."""

    def __init__(self, encoder):
        super().__init__(encoder)
        self.pending = []

    def total(self, rows, encoder, views):
        self.pending.append(rows.mean().detach())
        return mean(rows)

    def after_step(self, encoder, progress):
        self.seen.copy_(sum(self.pending))
        self.pending = []


class Repeats(Remembers):
    """What it has seen in one step, it learns from in the next as well."""

    def after_step(self, encoder, progress):
        self.seen.copy_(sum(self.pending))


BREAKS = {
    "two_ranks_equal_one": unfair(lambda rows, *_: rows.mean()),
    "every_parameter_gets_a_gradient": Idle,
    "loss_and_gradients_are_finite": unfair(lambda rows, it, encoder, views: mean(rows) / views[0].content.std()),
    "bfloat16_is_close": unfair(lambda rows, *_: (1e4 * mean(rows)).sin()),
    "nothing_hidden_is_finite": unfair(lambda rows, *_: mean(rows) + 0 * rows.mean()),
    "nothing_hidden_costs_nothing": unfair(lambda rows, *_: 1 + mean(rows)),
    "saved_state_goes_on": Forgetful,
    "teachers_follow": Stays,
    "evaluation_changes_no_state": unfair(lambda rows, it, *_: mean(rows) + 0 * it.seen.add_(1)),
    "order_does_not_matter": unfair(lambda rows, *_: mean(rows * torch.linspace(0, 1, len(rows)))),
    "global_seed_does_not_matter": unfair(lambda rows, *_: mean(rows) * torch.rand(())),
    "chunks_equal_the_batch": unfair(lambda rows, it, encoder, _: mean(rows) * (1 + isinstance(encoder, nn.Module))),
    "couples_as_it_says": unfair(mean, couples=True),
    "encoder_is_no_part_of_it": Greedy,
    "waits_for_no_device": unfair(lambda rows, *_: mean(rows) * (1 + 0 * rows.detach().mean().item())),
}


@parametrize_conduct({"fair": Fair})
def test_a_fair_objective_keeps_every_law(objective, law):
    law(objective)


def fail(*_):
    raise RuntimeError("a rank has had enough")


LEAVE = {"remembers": Remembers, "repeats": Repeats}  # what a step finds of an evaluation, and of a step before


@parametrize_conduct(BREAKS | LEAVE | {"raises": unfair(lambda rows, *_: rows.mean() if world() == 1 else fail())})
def broken(objective, law):
    law(objective)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_broken_law_is_found(law):
    with pytest.raises(AssertionError):
        law(broken.subjects[law.__name__])


@pytest.mark.parametrize(
    ("name", "law"), [("remembers", evaluation_changes_no_state), ("repeats", saved_state_goes_on)]
)
def test_what_is_left_to_a_later_step_is_found(name, law):
    with pytest.raises(AssertionError, match=r"evaluation leaves nothing|it ends in the state"):
        law(broken.subjects[name])


def test_an_error_on_ranks_is_said_by_the_law_and_is_no_other_objectives():
    with pytest.raises(AssertionError, match="rank 0 can take steps: found RuntimeError: a rank has had enough"):
        LAWS[0](broken.subjects["raises"])
    LAWS[0](broken.subjects["chunks_equal_the_batch"])


def test_expected_failures_are_strict_and_have_names_that_exist():
    for key, named in ((("unfair", "couples_as_it_says"), "'unfair'"), (("fair", "couples"), "'couples'")):
        with pytest.raises(UsageError, match=f"no objective or law of this suite is named {named}"):
            parametrize_conduct({"fair": Fair}, expected_failures={key: "no reason"})

    @parametrize_conduct({"fair": Fair}, expected_failures={("fair", "couples_as_it_says"): "why"})
    def test(objective, law): ...

    (mark,) = test.pytestmark
    (row,) = [row for row in mark.args[1] if row.marks]
    assert row.id == "fair-couples_as_it_says"
    assert row.marks[0].kwargs == {"reason": "why", "strict": True}


def test_views_have_whatever_is_needed():
    needs = Needs(
        views={"global": 2, "corrupt": 1}, uses=("local",), hidden=True, predict=3, params=("overlap",),
        encoder=frozenset({"tokens"}),
    )  # fmt: skip
    views = views_for(ToyEncoder(), needs, range(4))
    assert [view.role for view in views] == ["global", "global", "corrupt", "local"]
    for view in views[:2]:
        assert [rows.lengths for rows in view.predict] == [(2, 4, 2, 4)] * 3
        union = torch.stack([rows.flags(view.layout.total) for rows in view.predict]).any(0)
        assert torch.equal(view.hidden.flags(view.layout.total), union)
    assert torch.equal(views[2].layout.group[views[2].swap], views[2].layout.group)
    assert views[2].hidden is None
    assert views[0].params["overlap"].shape == (4, 2)
    assert set(views[0].ids.tolist()) == {0, 1, 2, 3}
