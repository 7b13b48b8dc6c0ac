import copy
import math

import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn

from unlabeled.objectives.byol import SimSiam
from unlabeled.testing.toys import ToyEncoder
from unlabeled.training.optimizers import LAMB, LARS, adam, adamw, parameter_groups, set_rate, sgd


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, 6))
        self.pos_embed = nn.Parameter(torch.randn(1, 4, 6))
        self.word_embeddings = nn.Embedding(5, 6)
        self.norm = nn.LayerNorm(6)
        self.body = nn.Sequential(nn.Linear(6, 7), nn.Linear(7, 6))
        self.tied = nn.Linear(6, 5, bias=False)
        self.tied.weight = self.word_embeddings.weight
        self.frozen = nn.Linear(2, 2).requires_grad_(False)

    def forward(self):
        x = self.body(self.norm(self.pos_embed + self.cls_token) + self.word_embeddings.weight.mean(0))
        return self.tied(x).square().sum() * 3


def names(model, group):
    known = {id(p): name for name, p in model.named_parameters()}
    return {known[id(p)] for p in group["params"]}


def test_what_decays_and_what_does_not():
    model = Model()
    decay, plain = parameter_groups(model)
    assert names(model, decay) == {"word_embeddings.weight", "body.0.weight", "body.1.weight"}
    assert names(model, plain) == {
        "cls_token", "pos_embed", "norm.weight", "norm.bias", "body.0.bias", "body.1.bias"
    }  # fmt: skip
    assert plain["weight_decay"] == 0
    assert not plain["adapt"]


def test_shared_parameters_are_in_one_group_once():
    model = Model()
    head = nn.Module()
    head.tied = model.tied
    groups = parameter_groups(model, head)
    every = [id(p) for group in groups for p in group["params"]]
    assert len(every) == len(set(every)) == sum(p.requires_grad for p in model.parameters())


def test_what_a_library_model_lists_does_not_decay():
    import timm

    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=0)
    wrapper = nn.Module()
    wrapper.model = model
    decay, plain = parameter_groups(wrapper)
    assert {f"model.{name}" for name in model.no_weight_decay()} & names(wrapper, decay) == set()
    assert "model.pos_embed" in names(wrapper, plain)
    assert "model.patch_embed.proj.weight" in names(wrapper, decay)


@pytest.mark.parametrize(
    "name",
    ["prefix", "mask_token", "log_a", "A_log", "relative_position_bias_table", "rel_pos_h", "head_bias", "pos_emb"],
)
def test_what_has_two_dimensions_and_is_no_weight_does_not_decay(name):
    inner = nn.Module()
    setattr(inner, name, nn.Parameter(torch.randn(3, 4)))
    outer = nn.Sequential(nn.Linear(4, 4), inner)
    assert f"1.{name}" in names(outer, parameter_groups(outer)[1])


@pytest.mark.parametrize("name", ["relative_attention_bias", "embed_positions", "wpe", "position_embeddings"])
def test_nor_does_a_table_of_places(name):
    model = nn.ModuleDict({name: nn.Embedding(3, 4), "words": nn.Embedding(3, 4)})
    decay, plain = parameter_groups(model)
    assert (names(model, decay), names(model, plain)) == ({"words.weight"}, {f"{name}.weight"})


def test_nor_does_the_gain_of_a_weight_norm():
    model = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 4, 3), dim=2)
    assert names(model, parameter_groups(model)[0]) == {"parametrizations.weight.original1"}


# ---------------------------------------------------------------------------------------------- over the run


def of_parts(made):
    """As ``Parts.optimizer`` leaves it."""
    for group in made.param_groups:
        group["full_lr"] = group["lr"]
    return made


def test_decay_rises_along_a_cosine_and_only_where_there_is_any():
    made = of_parts(adamw(parameter_groups(Model()), weight_decay=0.04, final_weight_decay=0.4))
    found = []
    for fraction in (0.0, 0.25, 0.5, 1.0, 1.5):
        set_rate(made, 1.0, fraction)
        found.append([group["weight_decay"] for group in made.param_groups])
    assert [plain for _, plain in found] == [0.0] * 5
    expected = [0.04, 0.22 - 0.18 * math.cos(math.pi / 4), 0.22, 0.4, 0.4]
    assert [decay for decay, _ in found] == pytest.approx(expected)


def test_decay_stays_where_no_other_is_named():
    made = of_parts(adamw(parameter_groups(Model()), weight_decay=0.04))
    set_rate(made, 1.0, 0.5)
    assert made.param_groups[0]["weight_decay"] == 0.04


@pytest.mark.parametrize("optimizer", [adam, adamw, sgd, LARS, LAMB])
def test_the_rate_of_a_steady_module_follows_no_schedule(optimizer):
    objective = SimSiam(ToyEncoder(), projector=(8, 8), predictor=4)
    made = of_parts(optimizer(parameter_groups(objective), lr=0.5))
    set_rate(made, 0.1, 0.9)
    rates = {id(p): group["lr"] for group in made.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in objective.predictor.parameters()} == {0.5}
    assert {rates[id(p)] for p in objective.projector.parameters()} == {0.05}
    assert {g["weight_decay"] == 0 for g in made.param_groups if g.get("steady")} == {True, optimizer is adam}


# ---------------------------------------------------------------------------------------------- references


def lars_of_the_paper(p, g, state, *, lr, adapt, decay):
    """Algorithm 1 of 1708.03888 for one layer, with the global rate applied to the momentum buffer."""
    momentum, eta = 0.9, 0.001
    rate = eta * p.norm() / (g.norm() + decay * p.norm()) if adapt else 1.0
    state["v"] = momentum * state.get("v", torch.zeros_like(p)) + rate * (g + decay * p)
    return p - lr * state["v"]


def lamb_of_the_paper(p, g, state, *, lr, adapt, decay):
    """Algorithm 2 of 1904.00962 for one layer."""
    beta1, beta2, eps = 0.9, 0.999, 1e-6
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", torch.zeros_like(p)) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", torch.zeros_like(p)) + (1 - beta2) * g * g
    r = (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps) + decay * p
    return p - lr * (p.norm() / r.norm() if adapt else 1.0) * r


@pytest.mark.parametrize(
    ("optimizer", "reference", "settings"),
    [(LARS, lars_of_the_paper, {"lr": 0.5}), (LAMB, lamb_of_the_paper, {"lr": 0.05})],
)
def test_equals_the_paper(optimizer, reference, settings):
    torch.manual_seed(0)
    model = Model().double()
    groups = parameter_groups(model)
    ours = optimizer(groups, weight_decay=0.1, **settings)
    mine = [(p, p.detach().clone(), {}, group is groups[0]) for group in groups for p in group["params"]]
    for _ in range(5):
        ours.zero_grad()
        model().backward()
        expected = [
            reference(q, p.grad.clone(), state, adapt=first, decay=0.1 if first else 0.0, **settings)
            for p, q, state, first in mine
        ]
        ours.step()
        for (p, _, _, _), q in zip(mine, expected, strict=True):
            torch.testing.assert_close(p.detach(), q, rtol=1e-10, atol=1e-12)
        mine = [(p, q, state, first) for (p, _, state, first), q in zip(mine, expected, strict=True)]


def test_lars_equals_lightly():
    from lightly.utils import lars as lightly_lars

    torch.manual_seed(0)
    model = Model()
    other = copy.deepcopy(model)
    ours = LARS(parameter_groups(model), lr=0.01, weight_decay=0.01)
    theirs = lightly_lars.LARS(
        [{k: v for k, v in g.items() if k != "adapt"} for g in parameter_groups(other)],
        lr=0.01, momentum=0.9, weight_decay=0.01,
    )  # fmt: skip
    for _ in range(10):
        for one, optimizer in ((model, ours), (other, theirs)):
            optimizer.zero_grad()
            one().backward()
            optimizer.step()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", [LARS, LAMB])
def test_a_layer_of_zeros_takes_a_finite_step(optimizer):
    p = nn.Parameter(torch.zeros(3, 3))
    made = optimizer([{"params": [p]}], lr=0.1)
    p.grad = torch.ones_like(p)
    made.step()
    assert p.isfinite().all()
    assert (p != 0).all()
    p.grad = torch.zeros_like(p)
    made.step()
    assert p.isfinite().all()


@pytest.mark.parametrize("optimizer", [adam, adamw, sgd, LARS, LAMB])
def test_state_saved_and_loaded_gives_the_same_next_step(optimizer):
    torch.manual_seed(0)
    model = Model()
    made = optimizer(parameter_groups(model), lr=0.01)

    def step(one, its):
        its.zero_grad()
        one().backward()
        its.step()

    step(model, made)
    other = copy.deepcopy(model)
    again = optimizer(parameter_groups(other), lr=0.01)
    again.load_state_dict(copy.deepcopy(made.state_dict()))
    step(model, made)
    step(other, again)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_adamw_equals_torch_with_the_same_groups():
    torch.manual_seed(0)
    model = Model().double()
    other = copy.deepcopy(model)
    ours = adamw(parameter_groups(model), lr=0.01, weight_decay=0.2)
    decay, plain = ([*g["params"]] for g in parameter_groups(other))
    theirs = torch.optim.AdamW([{"params": decay}, {"params": plain, "weight_decay": 0.0}], lr=0.01, weight_decay=0.2)
    for _ in range(3):
        for one, optimizer in ((model, ours), (other, theirs)):
            optimizer.zero_grad()
            one().backward()
            optimizer.step()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "settings", "message"),
    [
        (adamw, {"lr": -1.0}, "lr is -1.0; it must be at least 0"),
        (adamw, {"final_weight_decay": -0.1}, "final_weight_decay is -0.1; it must be at least 0"),
        (adamw, {"beta2": 1.0}, r"beta2 is 1.0; it must be in \[0, 1\)"),
        (sgd, {"weight_decay": -0.1}, "weight_decay is -0.1"),
        (sgd, {"momentum": 0.0, "nesterov": True}, "nesterov needs momentum"),
        (LARS, {"trust": 0.0}, "trust is 0.0; it must be above 0"),
        (LAMB, {"beta1": -0.1}, "beta1 is -0.1"),
    ],
)
def test_errors_say_what_would_be_right(optimizer, settings, message):
    with pytest.raises(ValueError, match=message):
        optimizer([{"params": [nn.Parameter(torch.zeros(2))]}], **settings)


@pytest.mark.parametrize("optimizer", [adamw, adam])
def test_a_fused_optimizer_on_a_cpu_may_be_clipped_under_autocast(optimizer):
    made = optimizer([{"params": [nn.Parameter(torch.zeros(2))]}])
    assert made.defaults["fused"]
    MixedPrecision("bf16-mixed", "cpu").clip_gradients(made, 1.0)
