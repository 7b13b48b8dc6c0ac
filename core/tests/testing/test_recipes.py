"""The checks of recipes let good ones pass and say what is wrong with others."""

import pytest
import torch

import unlabeled.testing.recipes as kit
from unlabeled.build import build
from unlabeled.config.run import resolve
from unlabeled.testing.recipes import check_description, check_steps

GOOD = """# Tea, https://arxiv.org/abs/2002.05709, in short.
# unlabeled toy pretrain tea --data rows/ --out runs/tea
summary: attract views
paper: "2002.05709"
"""


def described(monkeypatch, path, text, **values):
    path.write_text(text)
    monkeypatch.setattr(kit, "recipe_files", lambda domain: {"tea": path})
    monkeypatch.setattr(kit, "load_recipe", lambda *_: {"paper": "2002.05709", "summary": "attract views"} | values)
    check_description("toy", "tea", "rows/")


def test_a_good_description_passes(tmp_path, monkeypatch):
    described(monkeypatch, tmp_path / "tea.yaml", GOOD)
    review = GOOD.replace("arxiv.org/abs/2002.05709", "openreview.net/forum?id=abc")
    described(monkeypatch, tmp_path / "tea.yaml", review, paper="openreview:abc")


@pytest.mark.parametrize(
    ("old", "new", "values", "message"),
    [
        ("# Tea", "Tea", {}, "opens with what it computes"),
        ("abs/2002", "abs/2003", {}, "names its paper, arxiv.org/abs/2002.05709"),
        ("--data rows/", "--data cups/", {}, "has the line"),
        ("in short", "in short", {"summary": "x" * 70}, "at most 69 characters"),
    ],
)
def test_a_poor_description_is_told(tmp_path, monkeypatch, old, new, values, message):
    with pytest.raises(AssertionError, match=message):
        described(monkeypatch, tmp_path / "tea.yaml", GOOD.replace(old, new), **values)


@pytest.fixture
def parts(toy):
    found = build(resolve({"objective": {"name": "simclr"}}, "toy"))
    found.encoder.mask_token.requires_grad_(False)  # nothing is hidden here, and the toy has no prepare
    return found


def test_steps_of_a_sound_recipe_pass_and_train(parts):
    before = [p.clone() for p in parts.encoder.parameters()]
    check_steps(parts)
    assert any(not torch.equal(b, p) for b, p in zip(before, parts.encoder.parameters(), strict=True))


def test_an_unused_parameter_is_named(parts):
    parts.objective.forgotten = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(AssertionError, match=r"uses every parameter .*\['objective.forgotten'\]"):
        check_steps(parts)


def test_a_broken_weight_is_found(parts):
    for weight in parts.encoder.parameters():
        weight.data.fill_(torch.nan)
    with pytest.raises(AssertionError, match="ensure that the loss of the default composition is a number"):
        check_steps(parts)
