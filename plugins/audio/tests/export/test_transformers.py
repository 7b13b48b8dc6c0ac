"""Exports load with transformers and torchaudio alone, offline, and give equal outputs."""

import dataclasses

import pytest
import torch
from transformers import ASTModel, HubertModel, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from unlabeled.contract import View
from unlabeled.errors import UsageError
from unlabeled_audio.batch import AudioBatch, AudioSpec, standardize
from unlabeled_audio.encoders.cnn import CNN
from unlabeled_audio.encoders.mamba import Mamba
from unlabeled_audio.encoders.vit import ViT
from unlabeled_audio.encoders.wav2vec2 import Wav2Vec2
from unlabeled_audio.export import transformers as exporting

SPEC = AudioSpec(8000, seconds=0.5, mels=40)
SMALL = {"width": 32, "depth": 2, "heads": 2, "channels": 16, "positions": 8}


def clip(samples=4000):
    wave = torch.randn(samples, generator=torch.Generator().manual_seed(samples))
    return AudioBatch(torch.tensor([0]), standardize(wave, (samples,)), (samples,))


@pytest.fixture(params=["layer", "group"])
def waveform(request):
    torch.manual_seed(0)
    return Wav2Vec2(SPEC, norm=request.param, order="pre" if request.param == "layer" else "post", **SMALL).eval()


@torch.no_grad()
def tokens(encoder, batch):
    return encoder(View(batch, "clean")).tokens


@torch.no_grad()
def test_wav2vec2_loads_in_transformers(waveform, tmp_path):
    snippet = exporting.native(waveform, SPEC, tmp_path)
    model = Wav2Vec2Model.from_pretrained(tmp_path, local_files_only=True).eval()
    torch.testing.assert_close(
        model(clip().wave[None]).last_hidden_state[0], tokens(waveform, clip()), rtol=0, atol=1e-5
    )
    assert "Wav2Vec2Model.from_pretrained" in snippet
    raw = 5 * torch.randn(4000, generator=torch.Generator().manual_seed(4000)) + 1
    found = Wav2Vec2FeatureExtractor.from_pretrained(tmp_path)(raw.numpy(), sampling_rate=8000, return_tensors="pt")
    torch.testing.assert_close(found.input_values[0], standardize(raw, (4000,)), rtol=0, atol=1e-4)


@torch.no_grad()
def test_hubert_loads_in_transformers(waveform, tmp_path):
    exporting.hubert(waveform, SPEC, tmp_path)
    model = HubertModel.from_pretrained(tmp_path, local_files_only=True).eval()
    torch.testing.assert_close(
        model(clip().wave[None]).last_hidden_state[0], tokens(waveform, clip()), rtol=0, atol=1e-5
    )


@torch.no_grad()
def test_torchaudio_loads_the_state_dict(waveform, tmp_path):
    snippet = exporting.torchaudio(waveform, SPEC, tmp_path)
    names = {}
    exec(snippet, names)
    found, _ = names["model"](clip().wave[None])
    torch.testing.assert_close(found[0], tokens(waveform, clip()), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", [Wav2Vec2Model, HubertModel])
def test_weights_come_back_from_a_folder_of_transformers(waveform, tmp_path, kind):
    (exporting.native if kind is Wav2Vec2Model else exporting.hubert)(waveform, SPEC, tmp_path)
    again = Wav2Vec2(SPEC, pretrained=str(tmp_path)).eval()
    torch.testing.assert_close(tokens(again, clip()), tokens(waveform, clip()), rtol=0, atol=1e-6)


@torch.no_grad()
def test_torchaudio_weights_load_into_the_encoder(waveform, tmp_path):
    exporting.torchaudio(waveform, SPEC, tmp_path)
    torch.manual_seed(9)
    other = Wav2Vec2(SPEC, pretrained=str(tmp_path)).eval()
    assert (other.stack.kernels, other.stack.strides) == (waveform.stack.kernels, waveform.stack.strides)
    torch.testing.assert_close(tokens(other, clip()), tokens(waveform, clip()), rtol=0, atol=1e-6)
    assert other.mask_token.requires_grad


@torch.no_grad()
@pytest.mark.parametrize("pool", ["avg", "cls"])
def test_ast_loads_in_transformers(tmp_path, pool):
    torch.manual_seed(0)
    encoder = ViT(SPEC, patch=(8, 8), width=48, depth=2, heads=3, pool=pool).eval()
    snippet = exporting.native(encoder, SPEC, tmp_path)
    model = ASTModel.from_pretrained(tmp_path, local_files_only=True).eval()
    batch = clip()
    out = encoder(View(batch, "clean"))
    steps = model.config.max_length // 8
    x = encoder.front(batch.wave, batch.lengths)[None, : 8 * steps]
    found = model(x)
    bands_first = out.tokens.unflatten(0, (steps, 5)).transpose(0, 1).flatten(0, 1)
    torch.testing.assert_close(found.last_hidden_state[0, 2:], bands_first, rtol=0, atol=1e-5)
    pooled = found.pooler_output if pool == "cls" else found.last_hidden_state[:, 2:].mean(1)
    torch.testing.assert_close(pooled, out.pooled, rtol=0, atol=1e-5)
    assert ("pooler_output" in snippet) == (pool == "cls")
    for samples in (4000, 2530, 300):
        short = clip(samples)
        found = run(snippet)["vector_of"](short.wave)
        torch.testing.assert_close(found[None], encoder(View(short, "clean")).pooled, rtol=0, atol=1e-5)


def run(snippet):
    """What the printed lines leave behind, typed as they stand."""
    names = {}
    exec(snippet, names)
    return names


@torch.no_grad()
@pytest.mark.parametrize(("patch", "pool"), [((0, 2), "avg"), ((8, 4), "avg"), ((0, 2), "cls")])
def test_patches_that_are_not_square_load_in_timm(tmp_path, patch, pool):
    torch.manual_seed(0)
    encoder = ViT(SPEC, patch=patch, width=48, depth=2, heads=3, pool=pool).eval()
    torch.nn.init.normal_(encoder.prefix)
    snippet = exporting.native(encoder, SPEC, tmp_path)
    batch = clip()
    x = encoder.front(batch.wave, batch.lengths)
    x = x[None, None, : len(x) // encoder.patch[1] * encoder.patch[1]]
    found = run(snippet)
    out = encoder(View(batch, "clean"))
    torch.testing.assert_close(found["vector_of"](batch.wave)[None], out.pooled, rtol=0, atol=1e-5)
    torch.testing.assert_close(found["model"].forward_features(x)[0, 2:], out.tokens, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("pool", ["avg", "avg_max"])
@pytest.mark.parametrize("samples", [4000, 2530])
def test_a_cnn_is_a_few_lines_of_torch(tmp_path, pool, samples):
    torch.manual_seed(0)
    encoder = CNN(SPEC, width=16, depth=2, kernel=7, pool=pool).eval()
    batch = clip(samples)
    found = run(exporting.native(encoder, SPEC, tmp_path))
    out = encoder(View(batch, "clean"))
    torch.testing.assert_close(found["vector_of"](batch.wave)[None], out.pooled, rtol=0, atol=1e-5)


def test_what_no_library_has_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no library has the encoder 'mamba'"):
        exporting.native(Mamba(SPEC, width=16, depth=1), SPEC, tmp_path)
    with pytest.raises(UsageError, match="only encoder wav2vec2"):
        exporting.hubert(CNN(SPEC, width=16, depth=1), SPEC, tmp_path)


def test_a_folder_of_another_model_is_refused(tmp_path):
    exporting.native(ViT(dataclasses.replace(SPEC), patch=(8, 8), width=48, depth=1), SPEC, tmp_path)
    with pytest.raises(ValueError, match="must be wav2vec2 or hubert"):
        Wav2Vec2(SPEC, pretrained=str(tmp_path))
    with pytest.raises(ValueError, match="holds no transformers model"):
        Wav2Vec2(SPEC, pretrained=str(tmp_path / "nothing"))
