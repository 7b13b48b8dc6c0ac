"""Codes of a trained quantizer, read from its run folder, are those that the objective gave."""

import shutil

import pytest
import torch
import torch.nn.functional as F

from unlabeled.api import pretrain
from unlabeled.build import build_data, build_encoder
from unlabeled.config.run import resolve
from unlabeled.contract import Layout
from unlabeled.errors import UsageError
from unlabeled.nn.heads import mlp
from unlabeled.nn.kmeans import nearest
from unlabeled.runs.folder import RunFolder
from unlabeled_audio.data.syllables import Syllables
from unlabeled_audio.encoders.vit import ViT
from unlabeled_audio.tokenizers.codes import Codes
from unlabeled_audio.tokenizers.heads import said
from unlabeled_audio.tokenizers.units import Units
from unlabeled_audio.views.standard import Clean

ENCODER = {"name": "vit", "width": 16, "depth": 1, "heads": 2, "patch": (8, 4)}
SHORT = {"steps": 2, "batch_size": 8, "tensorboard": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tokenizer"
    objective = {"name": "beats_tokenizer", "entries": 16, "width": 8}
    views = {"name": "plain"}
    pretrain(
        "audio", out=out, say=str, objective=objective, encoder=ENCODER, data="syllables", views=views, **SHORT,
    )  # fmt: skip
    return out


def test_codes_are_those_of_the_run(run):
    config = RunFolder(run).config
    data = build_data(config)
    encoder = build_encoder(config.with_training(seed=5), data.spec)  # another start: the run's encoder speaks
    codes = Codes(data.spec, encoder, run=str(run))
    assert codes.vocabulary == 16
    view = Clean(data.spec)(data.__getitems__([0, 7, 9]), None)[0]
    layout = encoder.layout(view.batch)
    content, ids = codes(view.batch, layout)
    assert content is None
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    tokens = codes.encoder(view).tokens
    z = F.linear(tokens, state["objective.enter.weight"], state["objective.enter.bias"])
    mean = state["objective.codebook.sums"] / state["objective.codebook.counts"][:, None]
    expected = (F.normalize(z, dim=1) @ F.normalize(mean, dim=1).T).argmax(1)
    assert torch.equal(ids, expected)
    assert torch.equal(nearest(F.normalize(z, dim=1), codes.quantizer.entries), expected)


def test_what_an_invariant_quantizer_says_is_the_next_target(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    parts = {"encoder": ENCODER, "data": "syllables", "say": str, "recipe": "invariant_units"} | SHORT
    objective = {"name": "invariant_units", "hidden": 8, "frozen": True}
    pretrain("audio", out=first, objective=objective, tokenizer={"name": "units", "count": 6}, **parts)
    again = {"name": "codes", "run": str(first)}
    pretrain("audio", out=second, objective=objective, tokenizer=again, init=str(first), **parts)
    config = RunFolder(second).config
    data = build_data(config)
    encoder = build_encoder(config, data.spec)
    codes = Codes(data.spec, encoder, run=str(first))
    view = Clean(data.spec)(data.__getitems__([0, 7, 9]), None)[0]
    layout = encoder.layout(view.batch)
    state = torch.load(first / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    head = mlp((16, 8, 7), norm="layer")
    head.load_state_dict({k.split("quantizer.")[1]: v for k, v in state.items() if "objective.quantizer." in k})
    assert codes.vocabulary == 6
    expected = said(head(codes.encoder(view).tokens), layout)
    assert torch.equal(codes(view.batch, layout)[1], expected)
    with pytest.raises(UsageError, match=r"--tokenizer codes --tokenizer.run .*first"):
        Units(data.spec, encoder, run=str(first))


def test_a_unit_is_held_until_the_next_is_said():
    scores = torch.full((9, 4), -1.0)
    scores[:, 3] = 0.0  # blanks
    scores[1, 2] = scores[3, 0] = 1.0
    scores[5:, 1] = -0.5  # of the second clip, which says nothing
    scores[8, 0] = -0.2
    found = said(scores, Layout((5, 4), torch.zeros(9, 1)))
    assert found.tolist() == [2, 2, 2, 0, 0, 1, 1, 1, 0]


def test_mistakes_are_named(run, tmp_path):
    bare = tmp_path / "bare" / "encoder"
    shutil.copytree(run / "encoder", bare)
    with pytest.raises(UsageError, match=r"has no quantizer in checkpoints/last.ckpt: it must be a run of recipe"):
        Codes(Syllables(None, count=60).spec, None, run=str(bare.parent))
    data = Syllables(None, count=60)
    other = ViT(data.spec, width=16, depth=1, heads=2, patch=(8, 8))
    batch = Clean(data.spec)(data.__getitems__([0]), None)[0].batch
    with pytest.raises(UsageError, match="both need patches of the same size"):
        Codes(data.spec, other, run=str(run))(batch, other.layout(batch))
    with pytest.raises(UsageError, match="no such folder"):
        Codes(data.spec, other, run=str(tmp_path / "none"))


def test_without_a_run_codes_are_random_and_fixed():
    spec = Syllables(None, count=60).spec
    config = resolve({"encoder": ENCODER}, "audio")
    data = build_data(config)
    encoder = build_encoder(config, spec)
    batch = Clean(spec)(data.__getitems__([0, 1]), None)[0].batch
    first, second = (Codes(spec, encoder)(batch, encoder.layout(batch))[1] for _ in range(2))
    assert torch.equal(first, second)
    assert len(first) == encoder.layout(batch).total
