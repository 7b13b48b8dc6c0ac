"""Codes of a trained BEATs tokenizer, read from its run folder, are those that the objective gave."""

import pytest
import torch
import torch.nn.functional as F

from unlabeled.api import pretrain
from unlabeled.build import build_data, build_encoder
from unlabeled.config.run import resolve
from unlabeled.errors import UsageError
from unlabeled.nn.kmeans import nearest
from unlabeled.runs.folder import RunFolder
from unlabeled_audio.data.syllables import Syllables
from unlabeled_audio.encoders.vit import ViT
from unlabeled_audio.tokenizers.codes import Codes
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
    assert torch.equal(nearest(F.normalize(z, dim=1), codes.entries), expected)


def test_mistakes_are_named(run, tmp_path):
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
