"""Every check can fail: each mutation of the template breaks one promise, and the check that watches it says so."""

# ruff: noqa: E501 - a mutation is a row, however long

import importlib
import itertools
import sys

import pytest

from unlabeled.errors import UsageError
from unlabeled.plugins.registry import registry
from unlabeled.testing import CHECKS, Outcome, check, parametrize_checks
from unlabeled.testing import checks as kit
from unlabeled.testing.new_plugin import write
from unlabeled.testing.subject import NotApplicable, difference

COUNT = itertools.count()
BY_NAME = {c.__name__: c for c in CHECKS}
BARE = """    def bare(self, view):
        return None, torch.zeros(len(view), self.dim)

"""
USE = """import enum


class Use(enum.IntEnum):
    SPEED = 1024
    LENGTH = {}


"""
# a check, words of its message, and edits (file, what is replaced, by what) that break what it watches
MUTATIONS = [
    ("check_plugin_imports_nothing_heavy", "torch", ("plugin", "from functools import", "import torch\nfrom functools import")),
    ("check_plugin_imports_nothing_heavy", "numpy", ("__init__", '"""', 'import numpy\n"""')),
    ("check_every_row_resolves", "has no Claen", ("plugin", '"Clean"', '"Claen"')),
    ("check_every_row_resolves", "summary of one line", ("plugin", "over frames", "over frames " * 9)),
    ("check_defaults_are_complete", "no clean", ("plugin", '"clean": "clean",', "")),
    ("check_settings_are_documented", "'noise' .* has an Args: line", ("views", "        noise: dev", "        nois: dev")),
    ("check_settings_are_documented", "must be a literal", ("views", "noise: float = 0.2", "noise: float = 1 / 5")),
    ("check_settings_are_documented", "must be typed by", ("views", "noise: float = 0.2", "noise: Spec = 0.2")),
    ("check_settings_are_documented", "'noise' .* has a default", ("views", "noise: float = 0.2", "noise: float")),
    ("check_settings_are_documented", "has a type", ("views", "noise: float = 0.2", "noise=0.2")),
    ("check_wired_names_are_known", "specs", ("views", "spec: Spec, *, noise", "specs: Spec, *, noise")),
    ("check_purposes_are_unique", "number of its own", ("views", "class Noisy", USE.format(1024) + "class Noisy")),
    ("check_purposes_are_unique", "between 1024 and 65535", ("views", "class Noisy", USE.format(99) + "class Noisy")),
    ("check_data_gives_batches", "are the indices", ("data", "SeriesBatch(ids, self.x[ids])", "SeriesBatch(ids + 1, self.x[ids])")),
    ("check_data_gives_batches", "reads the same twice", ("data", "(ids, self.x[ids])", "(ids, self.x[ids] + torch.rand(1))")),
    ("check_data_gives_batches", "that sample loaded alone", ("batch", "self.x[samples])", "self.x[samples] + 1)")),
    ("check_bad_input_is_named", "names missing_path", ("data", 'f"{path} is no file;', 'f"no such file;')),
    ("check_bad_input_is_named", "garbage.bin is a UsageError", ("data", "raise UsageError(f\"{path} cannot", "raise KeyError(f\"{path} cannot")),
    ("check_views_keep_the_contract", "parameters that it names", ("views", 'params={"scale"', 'params={"gain"')),
    ("check_views_keep_the_contract", "its roles, in order", ("views", "draw.at(number), role)", "draw.at(number), role + '2')")),
    ("check_views_keep_the_contract", "finite", ("views", "batch.x * scale_B1", "batch.x / 0 * scale_B1")),
    ("check_layouts_and_content", "fill its grid", ("encoders", "(rows,))", "(rows + 1,))")),
    ("check_layouts_and_content", "content is", ("tokenizers", "int(encoder.frame)", "2 * int(encoder.frame)")),
    ("check_same_draws_in_any_batch", "same twice", ("views", "noise_BL = self", "noise_BL = __import__('torch').rand(1) + self")),
    ("check_same_draws_in_any_batch", "any batch and order", ("views", "batch.x * scale_B1", "batch.x * scale_B1.mean()")),
    ("check_same_draws_in_any_batch", "any batch and order", ("masks", "start[layout.group]", "start[0]")),
    ("check_draws_differ", "two views of a role differ", ("views", "draw.at(number), role", "draw.at(0), role")),
    ("check_draws_differ", "epoch to epoch", ("views", "draw.at(number), role", "Draw(0, 0, batch.ids, number), role")),
    ("check_baselines_give_features", "gives .B, D.", ("baselines", "view.batch.x ", "view.batch.x[0] ")),
    ("check_baselines_give_features", "in any batch", ("baselines", "view.batch.x ", "view.batch.x - view.batch.x.mean(0) ")),
    ("check_masks_keep_the_contract", "as it says", ("masks", 'sets = frozenset({"hidden"})', 'sets = frozenset({"swap"})')),
    ("check_masks_keep_the_contract", "not all", ("masks", "share(self.ratio, touchable(layout))", "layout.lengths")),
    ("check_mask_rates_are_exact", "hides 0.5 of 8 rows", ("masks", "share(self.ratio,", "share(self.ratio / 4,")),
    ("check_mask_marginals", "every row at times", ("masks", "layout.within - start[layout.group]", "layout.within")),
    ("check_mask_marginals", "equally often", ("masks", "PLACE, counts[:, None])", "PLACE, counts[:, None] - 3)")),
    (
        "check_masks_touch_only_maskable_rows", "others",
        ("masks", "choose(after, layout,", "choose(after, replace(layout, maskable=None),"),
    ),
    ("check_encoder_shapes", "pooled .* is", ("encoders", "return replace(last, ", "return replace(last, pooled=x_TD, ")),
    ("check_encoder_shapes", "says which rows", ("encoders", "return replace(last, ", "return replace(last, kept=None, ")),
    ("check_encoder_refuses_what_it_cannot", "refuses to swap", ("encoders", "if view.swap is not None", "if False")),
    ("check_encoder_equals_the_bare_model", "equals the bare", ("encoders", "    prepare =", BARE + "    prepare =")),
    ("check_hidden_content_does_not_leak", "nothing of hidden content", ("encoders", "x_TD = edit(x_TD, view, hide, self.mask_token)", "")),
    (
        "check_hidden_content_does_not_leak", "nothing of hidden content",
        ("encoders", "x_TD = edit(", "whole = x_TD.mean()\n        x_TD = edit("),
        ("encoders", "x_TD = self.norm(x_TD)", "x_TD = self.norm(x_TD) + whole"),
    ),
    ("check_padding_changes_nothing", "alone and in a batch", ("encoders", "x_TD = self.norm(x_TD)", "x_TD = self.norm(x_TD) + x_TD.mean()")),
    (
        "check_encoder_saves_and_loads", "after saving and loading",
        ("encoders", "self.mask_token = nn", "self.shift = torch.randn(1)\n        self.mask_token = nn"),
        ("encoders", "x_TD = self.norm(x_TD)", "x_TD = self.norm(x_TD) + self.shift"),
    ),
    ("check_encoder_compiles", "graph break", ("encoders", "states = []", "states = []\n        torch._dynamo.graph_break()")),
    ("check_every_parameter_gets_a_gradient", "mask_token", ("encoders", "    prepare = learn_mask_token\n", "")),
    ("check_probe_is_above_chance", "kNN is above", ("encoders", "self.embed(batch", "0 * self.embed(batch")),
]  # fmt: skip


@pytest.fixture
def mutant(tmp_path, monkeypatch):
    """Write the template, change one of its files, and load it under a name of its own."""
    made = []

    def make(*edits):
        name = f"mutant{next(COUNT)}"
        write(name, tmp_path)
        package = tmp_path / f"unlabeled-{name}" / "src" / f"unlabeled_{name}"
        for file, old, new in edits:
            path = package / f"{file}.py"
            text = path.read_text()
            assert old in text, (file, old)
            path.write_text(text.replace(old, new))
        monkeypatch.syspath_prepend(package.parent)
        made.append(name)
        registry().add(name, importlib.import_module(f"unlabeled_{name}.plugin"))
        return name

    yield make
    registry.cache_clear()
    for module in [m for m in sys.modules if any(m.startswith(f"unlabeled_{name}") for name in made)]:
        del sys.modules[module]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[f"{m[0]}-{n}" for n, m in enumerate(MUTATIONS)])
def test_a_broken_promise_is_found(mutant, mutation):
    name, words, *edits = mutation
    with pytest.raises(AssertionError, match=f"ensure that .*{words}"):
        BY_NAME[name](mutant(*edits))


def test_a_seed_of_its_own_objective_state_is_found(monkeypatch, mutant):
    """State that no buffer holds is lost on loading."""
    from unlabeled.objectives.simclr import SimCLR

    forward = SimCLR.forward

    def counts(self, encoder, views):
        self.calls = getattr(self, "calls", 0) + 1
        loss = forward(self, encoder, views)
        return type(loss)(loss.total * self.calls, loss.parts)

    monkeypatch.setattr(SimCLR, "forward", counts)
    with pytest.raises(AssertionError, match="ensure that recipe 'simclr' goes on from its saved state"):
        BY_NAME["check_state_round_trip"](mutant())


def test_a_loss_that_rises_is_found(monkeypatch, mutant):
    from unlabeled.objectives.simclr import SimCLR

    forward = SimCLR.forward

    def upside_down(self, encoder, views):
        loss = forward(self, encoder, views)
        return type(loss)(loss.total.detach() * 2 - loss.total, loss.parts)

    monkeypatch.setattr(SimCLR, "forward", upside_down)
    with pytest.raises(AssertionError, match="ensure that the loss of recipe 'simclr' falls"):
        BY_NAME["check_loss_falls"](mutant())


@pytest.mark.slow
def test_ranks_that_disagree_are_found(mutant):
    """Noise that depends on the batch: each rank draws other numbers than one rank does."""
    domain = mutant(("encoders", "x_TD = self.norm(x_TD)", "x_TD = self.norm(x_TD) * (1 + 0.01 * len(batch))"))
    with pytest.raises(AssertionError, match=r"2 ranks give the (loss|gradient) of one"):
        BY_NAME["check_ranks_equal_one_rank"](domain)


# ------------------------------------------------------------------------------------------------- outcomes


def passes(domain):
    """Ensure that nothing."""


def fails(domain):
    """Ensure that nothing."""
    raise AssertionError("ensure that it holds: found that it does not")


def raises(domain):
    """Ensure that nothing."""
    raise KeyError("field")


def idle(domain):
    """Ensure that nothing."""
    raise NotApplicable("there is nothing to look at")


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(kit, "CHECKS", (passes, fails, raises, idle))
    monkeypatch.setattr(kit, "NAMES", ("passes", "fails", "raises", "idle"))


def test_outcomes_say_what_was_found(few, mutant):
    domain = mutant()
    found = {o.check: (o.status, o.good, o.message) for o in check(domain)}
    assert found == {
        "passes": ("passed", True, ""),
        "fails": ("failed", False, "ensure that it holds: found that it does not"),
        "raises": ("failed", False, "KeyError: 'field'"),
        "idle": ("not applicable", True, "there is nothing to look at"),
    }


def test_an_expected_failure_is_strict(few, mutant):
    domain = mutant()
    found = {o.check: (o.status, o.good) for o in check(domain, {"fails": "known", "raises": "known", "passes": "old"})}
    assert found == {
        "passes": ("stale", False),
        "fails": ("expected", True),
        "raises": ("expected", True),
        "idle": ("not applicable", True),
    }


def test_an_outcome_is_one_line():
    line = str(Outcome("check_x", "failed", "ensure that it holds: found 3", 0.25))
    assert line == "failed         check_x (0.2 s): ensure that it holds: found 3"


def test_unknown_names_are_refused(mutant):
    with pytest.raises(UsageError, match="unknown domain 'absent'"):
        next(check("absent"))
    with pytest.raises(UsageError, match=r"no check is named 'check_maks_rates'.* check_mask_rates_are_exact"):
        next(check(mutant(), {"check_maks_rates": "typo"}))
    with pytest.raises(UsageError, match="no check is named"):
        parametrize_checks("toy", {"check_x": "typo"})


def test_every_check_says_what_it_ensures():
    assert all((c.__doc__ or "").startswith("Ensure that ") for c in CHECKS)
    assert len(BY_NAME) == len(CHECKS)
    modules = [m for m in vars(kit).values() if getattr(m, "__name__", "").startswith("unlabeled.testing.checks_")]
    here = {n for m in modules for n, f in vars(m).items() if getattr(f, "__module__", "") == m.__name__}
    assert {n for n in here if n.startswith("check_")} == set(BY_NAME)  # none is written and left out


def test_parametrize_marks_expected_failures_as_strict():
    mark = parametrize_checks("toy", {"check_loss_falls": "too noisy"}).mark
    params = {p.id: p for p in mark.args[1]}
    assert list(params) == [c.__name__ for c in CHECKS]
    (xfail,) = params["check_loss_falls"].marks
    assert xfail.kwargs == {"reason": "too noisy", "strict": True}
    assert not params["check_mask_marginals"].marks


def test_differences_are_found_in_words():
    import torch

    a = {"x": [torch.tensor([1.0, 2.0])], "n": 3}
    assert difference(a, {"x": [torch.tensor([1.0, 2.0 + 1e-7])], "n": 3}, 1e-6) == ""
    assert "it['x'][0] differs by up to 1" in difference(a, {"x": [torch.tensor([1.0, 3.0])], "n": 3})
    assert difference(a, {"x": [torch.tensor([1, 2])], "n": 3}).startswith("it['x'][0] is torch.float32[2]")
    assert difference(a, {"x": a["x"], "n": 4}) == "it['n'] is 3 and 4"
    assert difference(a, {"x": a["x"]}) == "it has keys ['n', 'x'] and ['x']"
    assert difference(torch.tensor([float("nan")]), torch.tensor([0.0]), 1.0) != ""
