"""The Transformer over units: what it reads is units alone, those of a run of vq-wav2vec where one is given."""

import pytest
import torch

from unlabeled import pretrain
from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.runs.pretrained import load
from unlabeled_audio.data.syllables import Syllables
from unlabeled_audio.encoders.cnn import CNN
from unlabeled_audio.encoders.units import UnitTransformer
from unlabeled_audio.tokenizers.heard import Heard
from unlabeled_audio.views.standard import Clean

SMALL = {"width": 32, "depth": 1, "heads": 2}


@pytest.fixture(scope="module")
def data():
    return Syllables(None, count=60)


def clean(data, ids=(0, 7, 31)):
    batch = data.__getitems__(list(ids))
    return Clean(data.spec)(batch, Draw(0, 0, batch.ids))[0]


def test_units_are_the_nearest_centers_and_all_that_is_read(data):
    torch.manual_seed(0)
    encoder = UnitTransformer(data.spec, count=12, **SMALL).eval()
    tokenizer = Heard(data.spec, encoder)
    before = encoder.centers.clone()
    tokenizer.fit(data, 0)
    assert not torch.equal(before, encoder.centers)
    view = clean(data)
    layout = encoder.layout(view.batch)
    _, ids = tokenizer(view.batch, layout)
    x = encoder.features(view.batch, layout)
    assert torch.equal(ids, torch.cdist(x, encoder.centers).argmin(1))
    assert ids.unique().numel() > 6
    out = encoder(view)
    # a change of sound that changes no unit changes nothing
    quieter = view.batch.wave * (1 + 1e-7)
    same = encoder(View(type(view.batch)(view.batch.ids, quieter, view.batch.lengths), "clean"))
    assert torch.equal(encoder.codes(view.batch, layout), ids[:, None])
    torch.testing.assert_close(out.tokens, same.tokens, rtol=0, atol=0)


@pytest.mark.parametrize("quantizer", ["gumbel", "kmeans"])
def test_codes_of_a_run_of_vq_wav2vec_are_read(data, tmp_path, quantizer):
    run = tmp_path / "vq"
    pretrain(
        "audio",
        recipe="vq_wav2vec",
        out=run,
        say=lambda _: None,
        encoder={"name": "wav2vec", "width": 16},
        objective={"name": "vq_wav2vec", "quantizer": quantizer, "width": 16, "entries": 8, "steps": 2},
        steps=2,
        batch_size=8,
        workers=0,
    )
    encoder = UnitTransformer(data.spec, run=str(run), **SMALL).eval()
    assert (encoder.books, encoder.vocabulary) == (2, 8)
    view = clean(data)
    layout = encoder.layout(view.batch)
    _, ids = Heard(data.spec, encoder)(view.batch, layout)
    source = load(run).encoder
    tokens = source(View(view.batch, "clean", layout)).tokens
    if quantizer == "gumbel":
        assert torch.equal(ids, encoder.quantizer.score(tokens).unflatten(1, (2, 8)).argmax(-1))
    assert torch.equal(ids, encoder.quantizer(tokens)[1])
    assert not any(p.requires_grad for p in encoder.source.parameters())


def test_heard_needs_an_encoder_that_reads_units(data):
    with pytest.raises(ValueError, match="this is CNN"):
        Heard(data.spec, CNN(data.spec, width=16, depth=1))
    with pytest.raises(ValueError, match="heads a divisor"):
        UnitTransformer(data.spec, width=10, heads=3)
