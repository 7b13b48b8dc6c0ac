"""Wiring by name, and what is said before step one when parts do not fit."""

import sys
from types import SimpleNamespace

import pytest
import torch

import unlabeled.build as build_module
from unlabeled.build import Parts, _seeded, build, build_untrained, too_few, unmet
from unlabeled.config.run import Choice, RunConfig, Training
from unlabeled.contract import Needs, View
from unlabeled.draw import Purpose
from unlabeled.errors import PluginError, UsageError
from unlabeled.plugins import live
from unlabeled.plugins.live import construct
from unlabeled.plugins.registry import Registry
from unlabeled.plugins.words import Component, Domain, hookimpl
from unlabeled.testing.toys import ToyBatch, ToyEncoder, toy_batch, toy_hide

HERE = "toy_parts_of_test_build"


class Wants:
    def __init__(self, spec, encoder=None, *, size=3):
        if size < 1:
            raise ValueError(f"size is {size}; it must be at least 1")
        self.spec, self.encoder, self.size = spec, encoder, size


class Family:
    def __init__(self, model, spec, *, depth=1):
        self.model, self.spec, self.depth = model, spec, depth


class ToyData:
    def __init__(self, path, max_bad, *, count=6):
        self.path, self.max_bad, self.count = path, max_bad, count
        self.spec, self.labels, self.classes, self.test = "spec", None, (), None

    def __len__(self):
        return self.count

    def __getitems__(self, indices):
        return toy_batch(indices)

    def describe(self):
        return f"{self.count} toys"


class ToyViews:
    params: tuple[str, ...] = ("shift",)

    def __init__(self, spec, *, roles=("global", "global")):
        self.spec, self.roles = spec, roles

    def __call__(self, batch, draw):
        made = []
        for number, role in enumerate(self.roles):
            shift = draw.at(number).uniform(1, Purpose.SHIFT)
            made.append(View(ToyBatch(batch.ids, batch.x + shift[..., None, None]), role, params={"shift": shift}))
        return made


class ToyTokenizer:
    vocabulary = 0

    def __init__(self, spec, encoder, *, width=4):
        self.spec, self.encoder, self.width = spec, encoder, width

    def __call__(self, batch, layout):
        return torch.zeros(layout.total, self.width), None


class ToyMask:
    sets, targets = frozenset({"hidden"}), 0

    def __init__(self, *, count=2):
        self.count = count

    def __call__(self, view, draw):
        return toy_hide(view, self.count, seed=draw.view)


class BuiltEncoder(ToyEncoder):
    def __init__(self, spec, *, dim=8):
        super().__init__(4, dim)
        self.spec = spec


class ToyDecoder:
    def __init__(self, dim, width, *, depth=1):
        self.dim, self.width, self.depth = dim, width, depth


class ToyObjective(torch.nn.Module):
    needs = Needs(views={"global": 2})

    def __init__(self, encoder, decoder, content, samples, *, hidden=False):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3))
        self.wired = {"encoder": encoder, "decoder": decoder, "content": content, "samples": samples}
        self.needs = Needs(views={"global": 2}, hidden=hidden, content=hidden)


TOYS = {
    "data": ToyData,
    "views": ToyViews,
    "tokenizer": ToyTokenizer,
    "mask": ToyMask,
    "encoder": BuiltEncoder,
    "decoder": ToyDecoder,
    "objective": ToyObjective,
}


@pytest.fixture
def toy(monkeypatch):
    """A registry with one domain, whose components are the classes above."""
    monkeypatch.setitem(sys.modules, HERE, SimpleNamespace(**TOYS))
    rows = [Component(kind=k, name=f"toy_{k}", target=f"{HERE}:{k}", summary="") for k in TOYS]

    class Plugin:
        @hookimpl
        def unlabeled_domain(self) -> Domain:
            return Domain(name="toy", summary="", contract=1, sample="", components=tuple(rows))

    found = Registry(discover=False)
    found.add("toy", Plugin())
    for module in (build_module, live):
        monkeypatch.setattr(module, "registry", lambda: found)
    return found


def config(**settings):
    parts = {kind: Choice(f"toy_{kind}", settings.get(kind, {})) for kind in TOYS}
    return RunConfig("toy", parts, Training(batch_size=4, max_bad=0.25), data_path="here")


def component(target, kind="views", name="x"):
    return Component(kind=kind, name=name, target=f"{HERE}:{target}", summary="")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setitem(sys.modules, HERE, SimpleNamespace(Wants=Wants, Family=Family))


# ------------------------------------------------------------------------------------------------- construct


def test_positional_parameters_are_wired_by_name():
    made = construct(component("Wants"), {"size": 5}, {"encoder": "E", "spec": "S", "samples": 3})
    assert (made.spec, made.encoder, made.size) == ("S", "E", 5)
    assert construct(component("Wants"), {}, {"spec": "S"}).encoder is None


def test_a_family_gets_what_stands_for_the_star():
    row = component("Family", "encoder", "timm/*")
    made = construct(row, {"depth": 2}, {"spec": "S"}, name="timm/vit_tiny/16")
    assert (made.model, made.spec, made.depth) == ("vit_tiny/16", "S", 2)


def test_a_parameter_that_core_cannot_wire_is_the_plugins_mistake():
    with pytest.raises(PluginError, match=r"views 'x' asks for 'spec'; core wires encoder, samples here"):
        construct(component("Wants"), {}, {"samples": 1, "encoder": 2})
    with pytest.raises(PluginError, match="core wires nothing here"):
        construct(component("Wants"), {}, {})


def test_a_value_error_of_a_constructor_is_a_usage_error():
    with pytest.raises(UsageError, match="views x: size is 0; it must be at least 1"):
        construct(component("Wants"), {"size": 0}, {"spec": 1})


# ------------------------------------------------------------------------------------------------- build


def test_build_wires_every_part(toy):
    parts = build(config(objective={"hidden": True}, decoder={"depth": 7}))
    assert parts.data.path == "here"
    assert parts.data.max_bad == 0.25
    assert parts.views.spec == parts.encoder.spec == "spec"
    assert parts.tokenizer.encoder is parts.encoder
    wired = parts.objective.wired
    assert wired["encoder"] is parts.encoder
    assert (wired["content"], wired["samples"]) == (4, 6)
    made = wired["decoder"](8, 4)
    assert (made.dim, made.width, made.depth) == (8, 4, 7)


def test_a_tokenizer_that_learns_is_fitted_once_before_training(toy, monkeypatch):
    calls = []
    monkeypatch.setattr(ToyTokenizer, "fit", lambda self, data, seed: calls.append((data, seed)), raising=False)
    parts = build(config(objective={"hidden": True}).with_training(seed=3))
    assert [(data.data, seed) for data, seed in calls] == [(parts.data, 3)]


def test_parts_that_the_objective_makes_no_use_of_are_left_out(toy):
    parts = build(config())
    assert parts.mask is None
    assert parts.tokenizer is None


def test_weights_follow_the_seed_and_leave_the_global_generator_alone(toy):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = build(config())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second, other = build(config()), build(config().with_training(seed=1))
    assert torch.equal(first.encoder.embed.weight, second.encoder.embed.weight)
    assert torch.equal(first.objective.weight, second.objective.weight)
    assert not torch.equal(first.encoder.embed.weight, other.encoder.embed.weight)


def test_an_untrained_encoder_has_the_settings_that_the_trained_one_chose(monkeypatch):
    """A folder of trained weights, resolved, is an architecture: the baseline must not be the model itself."""
    seen = []
    monkeypatch.setattr(build_module, "build_encoder", lambda made, spec: seen.append(made.parts["encoder"].settings))
    run = config(encoder={"pretrained": True, "width": 3})
    build_untrained(run, "spec", SimpleNamespace())
    build_untrained(run, "spec", SimpleNamespace(resolved={"config": "{}", "width": 0}))
    build_untrained(config(encoder={"width": 3}), "spec", SimpleNamespace())
    assert seen == [{"pretrained": False, "width": 3}, {"pretrained": False, "config": "{}", "width": 0}, {"width": 3}]


def test_the_generator_comes_back_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(KeyError), _seeded(3):
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)


def test_no_samples_is_a_usage_error(toy):
    with pytest.raises(UsageError, match="0 toys: no samples"):
        build(config(data={"count": 0}))


def test_prepare_masks_the_views_that_a_mask_may_touch(toy):
    parts = build(config(objective={"hidden": True}, views={"roles": ("global", "global")}))
    first, second = parts.prepare(parts.data.__getitems__([0, 1, 2]), seed=3, epoch=1)
    assert first.hidden.lengths == (2, 2, 2)
    assert first.content.shape == (first.layout.total, 4)
    assert not torch.equal(first.hidden.index, second.hidden.index)  # each view has draws of its own


def test_prepare_gives_a_sample_the_same_draws_in_any_batch(toy):
    parts = build(config(objective={"hidden": True}))
    whole = parts.prepare(parts.data.__getitems__([0, 1, 2, 3]), seed=3, epoch=1)
    alone = parts.prepare(parts.data.__getitems__([2]), seed=3, epoch=1)
    for a, b in zip(whole, alone, strict=True):
        assert torch.equal(a.batch.x[2:3], b.batch.x)
        assert torch.equal(a.hidden.groups(2, 3, a.layout).index, b.hidden.index)


def test_prepare_leaves_other_roles_alone(toy):
    objective = SimpleNamespace(needs=Needs(views={"global": 1}, uses=("local", "clean"), hidden=True))
    encoder = ToyEncoder()
    views = ToyViews("spec", roles=("global", "clean"))
    parts = Parts(config(), None, views, None, ToyMask(), encoder, objective)
    first, second = parts.prepare(toy_batch(range(3)), 0, 0)
    assert first.hidden is not None
    assert second.hidden is None


# ------------------------------------------------------------------------------------------------- unmet needs


GOOD = {
    "needs": Needs(views={"global": 2}),
    "views": SimpleNamespace(roles=("global", "global"), params=("box",)),
    "tokenizer": None,
    "mask": None,
    "encoder": SimpleNamespace(can=frozenset({"tokens"})),
}
HIDES = SimpleNamespace(sets=frozenset({"hidden"}), targets=0)
CASES = {
    "views": (
        {"needs": Needs(views={"global": 3})},
        "needs 3 global views; views 'toy_views' make 2. Choose others with --views (toy_views)",
    ),
    "idle views": (
        {"views": SimpleNamespace(roles=("global", "global", "local"), params=())},
        "makes no use of local views, and views 'toy_views' make them",
    ),
    "mask": (
        {"needs": Needs(views={"global": 2}, hidden=True)},
        "needs a mask that hides rows: choose one with --mask",
    ),
    "predict sets": (
        {"needs": Needs(views={"global": 2}, predict=4), "mask": HIDES},
        "needs a mask with 4 predict sets, found 0: choose one with --mask (random, toy_mask)",
    ),
    "content": ({"needs": Needs(views={"global": 2}, content=1)}, "needs continuous content: choose a tokenizer"),
    "ids": (
        {"needs": Needs(views={"global": 2}, vocabulary=1), "tokenizer": SimpleNamespace(width=3, vocabulary=0)},
        "needs discrete tokens: choose a tokenizer that quantizes (toy_tokenizer)",
    ),
    "encoder": (
        {"needs": Needs(views={"global": 2}, encoder=frozenset({"drop", "mask"}))},
        "needs an encoder that can drop, mask; 'toy_encoder' can tokens: choose one with --encoder (toy_encoder)",
    ),
    "what no other encoder mends": (
        {
            "needs": Needs(views={"global": 2}, encoder=frozenset({"mask"})),
            "encoder": SimpleNamespace(can=frozenset({"tokens"}), cannot={"mask": "there is no mask token"}),
        },
        "needs an encoder that can mask: there is no mask token",
    ),
    "params": (
        {"needs": Needs(views={"global": 2}, params=("box", "angle"))},
        "reads view parameters angle; views give box",
    ),
    "batch": ({"needs": Needs(views={"global": 2}, batch=8)}, "needs at least 8 samples a batch; --batch-size is 4"),
}


@pytest.mark.parametrize("case", CASES)
def test_unmet_needs_say_what_would_satisfy_them(toy, case):
    changed, expected = CASES[case]
    errors = unmet(config(), **(GOOD | changed))
    assert len(errors) == 1
    assert errors[0].startswith("objective 'toy_objective' ")
    assert expected in errors[0]


@pytest.mark.parametrize(("accumulate", "devices", "nodes"), [(4, 1, 1), (2, "2", 1), (1, 2, 2)])
def test_a_batch_is_checked_as_each_device_sees_it(toy, accumulate, devices, nodes):
    split = config().with_training(accumulate=accumulate, devices=devices, num_nodes=nodes)
    needs = Needs(views={"global": 2}, batch=2)
    (error,) = unmet(split, **(GOOD | {"needs": needs}))
    assert "needs at least 2 samples in each micro-step on each device; --batch-size is 4, which" in error
    assert unmet(split.with_training(batch_size=8), **(GOOD | {"needs": needs})) == []
    assert len(too_few(config(), needs, 4)) == 1
    assert too_few(config(), needs, 2) == []


def test_what_is_met_gives_no_error(toy):
    assert unmet(config(), **GOOD) == []
    needs = Needs(views={"global": 2}, uses=("local",), hidden=True, content=1, params=("box",), batch=4)
    tokenizer = SimpleNamespace(width=3, vocabulary=0)
    assert unmet(config(), **(GOOD | {"needs": needs, "mask": HIDES, "tokenizer": tokenizer})) == []


def test_build_reports_every_unmet_need_at_once(toy):
    bad = config(views={"roles": ("global",)}, objective={"hidden": True}, tokenizer={"width": 0})
    with pytest.raises(UsageError) as error:
        build(bad)
    assert "needs 2 global views" in str(error.value)
    assert "needs continuous content" in str(error.value)


def test_data_brings_what_views_ask_for():
    asked = []
    views = SimpleNamespace(asks=("near", "far"))
    data = SimpleNamespace(bring=asked.append, describe=lambda: "6 toys")
    build_module.bring(data, views)
    build_module.bring(data, SimpleNamespace())
    assert asked == [("near", "far")]
    with pytest.raises(UsageError, match="the views ask for near, far samples, and 6 toys can bring none"):
        build_module.bring(ToyData(None, 0.0), views)
