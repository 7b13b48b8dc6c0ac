"""Encoders: equal to the libraries, the same with any neighbors, nothing hidden leaks; the scan equals its loop."""

from dataclasses import replace

import pytest
import torch
import torchaudio

from unlabeled.contract import Layout, View
from unlabeled.draw import Draw
from unlabeled_audio.batch import AudioBatch, AudioSpec, standardize
from unlabeled_audio.encoders import mamba
from unlabeled_audio.encoders.cnn import CNN
from unlabeled_audio.encoders.conformer import Conformer
from unlabeled_audio.encoders.mamba import Mamba, Scan, chunked_scan, reversal, selective_scan
from unlabeled_audio.encoders.rows import MelEncoder, runs
from unlabeled_audio.encoders.vit import ViT
from unlabeled_audio.encoders.wav2vec import Wav2Vec
from unlabeled_audio.encoders.wav2vec2 import Wav2Vec2, settle
from unlabeled_audio.masks.spans import SpanMask
from unlabeled_audio.tokenizers.spectrograms import LogMel

SPEC = AudioSpec(8000, seconds=1.0, mels=40)
LENGTHS = (4000, 150, 8000, 2231)  # one is shorter than any window
SMALL = {"width": 32, "depth": 2}
KINDS = {
    "vit": lambda: ViT(SPEC, heads=2, **SMALL),
    "vit patches": lambda: ViT(SPEC, patch=(8, 8), heads=2, pool="cls", **SMALL),
    "wav2vec2 layer pre": lambda: Wav2Vec2(SPEC, heads=2, channels=16, positions=8, **SMALL),
    "wav2vec2 group post": lambda: Wav2Vec2(
        SPEC, heads=2, channels=16, positions=8, norm="group", order="post", **SMALL
    ),
    "conformer": lambda: Conformer(SPEC, heads=2, **SMALL),
    "mamba": lambda: Mamba(SPEC, **SMALL),
    "mamba patches": lambda: Mamba(SPEC, patch=(8, 8), **SMALL),
    "cnn": lambda: CNN(SPEC, **SMALL),
    "wav2vec": lambda: Wav2Vec(SPEC, width=32, kernels=(10, 8, 4, 4, 1), strides=(5, 4, 2, 2, 1)),
}


def clips(lengths=LENGTHS):
    wave = [torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in lengths]
    ids = torch.tensor(lengths)
    return AudioBatch(ids, standardize(torch.cat(wave), lengths), lengths)


@pytest.fixture(params=list(KINDS))
def encoder(request):
    torch.manual_seed(0)
    return KINDS[request.param]().eval()


@torch.no_grad()
@pytest.mark.parametrize("hide", ["", "mask", "drop"])
def test_padding_changes_nothing(encoder, hide):
    if hide and hide not in encoder.can:
        pytest.skip(f"it cannot {hide} rows")
    batch = clips((4000, 8000, 2231) if hide else LENGTHS)

    def features(part):
        view = View(part, "global", layout=encoder.layout(part))
        return encoder(SpanMask(encoder)(view, Draw(0, 0, part.ids)), hide=hide) if hide else encoder(view)

    out = features(batch)
    for number in range(len(batch)):
        alone = features(batch[number : number + 1])
        begin, end = out.layout.offsets[number : number + 2]
        torch.testing.assert_close(alone.tokens, out.tokens[begin:end], rtol=0, atol=1e-5)
        torch.testing.assert_close(alone.pooled[0], out.pooled[number], rtol=0, atol=1e-5)


@torch.no_grad()
def test_layers_are_those_of_the_blocks(encoder):
    batch = clips()
    out = encoder(View(batch, "clean"), layers=(0, 1, -1))
    assert torch.equal(out.layers[1].tokens, out.layers[2].tokens)
    assert not torch.equal(out.layers[0].tokens, out.layers[1].tokens)


@torch.no_grad()
def test_a_layer_tells_what_its_feed_forward_part_gave(encoder):
    batch, heard = clips((4000, 2231)), []
    parts = [m for n, m in encoder.blocks[1].named_children() if n in ("mlp", "second", "feed_forward")]
    for part in parts:
        part.register_forward_hook(lambda _module, _x, y: heard.append(y))
    (layer,) = encoder(View(batch, "clean"), layers=(1,)).layers
    if not parts:
        assert isinstance(encoder, (Mamba, Wav2Vec))
        assert layer.feed is None
        return
    assert layer.feed.shape == layer.tokens.shape
    rows = (
        heard[0]
        if len(heard[0]) == len(layer.feed)
        else torch.cat([x[2:] for x in heard[0].split([n + 2 for n in layer.layout.lengths])])
    )  # without the prefix tokens
    assert torch.equal(layer.feed, rows)


def test_every_row_counts(encoder):
    batch = clips()
    wave = batch.wave.clone().requires_grad_()
    out = encoder(View(replace(batch, wave=wave), "clean"))
    out.tokens.square().sum().backward()
    first = [sum(LENGTHS[:n]) for n in range(4)]
    for begin, length in zip(first, LENGTHS, strict=True):
        assert float(wave.grad[begin : begin + length].abs().max()) > 0


def test_bfloat16_gives_finite_features_and_gradients(encoder):
    batch = clips((4000, 2231))
    view = View(batch, "global", layout=encoder.layout(batch))
    if "mask" in encoder.can:
        view = SpanMask(encoder)(view, Draw(0, 0, batch.ids))
    with torch.autocast("cpu", torch.bfloat16):
        out = encoder(view)
        loss = out.tokens.float().square().mean()
    loss.backward()
    exact = encoder(view).pooled.detach()
    assert float((out.pooled.detach().float() - exact).abs().max()) < 0.2 * float(exact.abs().max())
    grads = [p.grad for p in encoder.parameters() if p.grad is not None]
    assert len(grads) > 10
    assert all(bool(torch.isfinite(g).all()) for g in grads)


@torch.no_grad()
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_wav2vec2_equals_torchaudio(norm):
    torch.manual_seed(0)
    order = {"layer": "pre", "group": "post"}[norm]
    encoder = Wav2Vec2(SPEC, heads=2, channels=16, positions=8, norm=norm, order=order, **SMALL).eval()
    library = torchaudio.models.wav2vec2.utils.import_huggingface_model(encoder.model).eval()
    for clip in clips((4000, 8000)).clips():
        batch = AudioBatch(torch.tensor([0]), clip, (len(clip),))
        expected, _ = library.extract_features(clip[None])
        out = encoder(View(batch, "clean"), layers=(0, 1))
        last = library(clip[None])[0][0]
        torch.testing.assert_close(out.tokens, last, rtol=0, atol=1e-5)
        torch.testing.assert_close(out.layers[0].tokens, expected[0][0], rtol=0, atol=1e-5)


@torch.no_grad()
def test_convolutional_features_are_the_extractors():
    torch.manual_seed(0)
    encoder = KINDS["wav2vec2 layer pre"]().eval()
    batch = clips((4000, 2231))
    out = encoder(View(batch, "clean"))
    expected = [encoder.model.feature_extractor(clip[None])[0].T for clip in batch.clips()]
    torch.testing.assert_close(out.local, torch.cat(expected), rtol=0, atol=1e-5)
    torch.testing.assert_close(out.normed, encoder.model.feature_projection.layer_norm(out.local), rtol=0, atol=1e-6)
    assert encoder.local_dim == out.local.shape[1]


@torch.no_grad()
def test_a_row_of_wav2vec_sees_its_window_of_the_waveform_alone():
    torch.manual_seed(0)
    encoder, batch = Wav2Vec(SPEC, width=32).eval(), clips((4000, 2231))
    assert (encoder.window, encoder.stride) == (145 + 80, 80)
    found = encoder(View(batch, "clean"))
    for clip, tokens in zip(batch.clips(), found.tokens.split(found.layout.lengths), strict=True):
        for row in (0, 5, len(tokens) - 1):
            x = clip[80 * row : 80 * row + encoder.window][None, None]
            for convolution, norm in zip(encoder.blocks, encoder.norms, strict=True):
                x = norm(convolution(x).mT).relu().mT
            torch.testing.assert_close(tokens[row], torch.log(1 + x[0, :, 0]), rtol=0, atol=1e-5)


def test_wav2vec2_refuses_spectrograms():
    encoder = KINDS["wav2vec2 layer pre"]()
    batch = clips((4000,))
    with pytest.raises(ValueError, match="reads the waveform"):
        encoder(View(replace(batch, mel=torch.zeros(48, 40), frames=(48,)), "global"))


def test_clips_lie_at_multiples_of_the_stride():
    begin, total = settle((1000, 10, 321), 160, 240)
    assert begin == (0, 1120, 1440)
    assert total == 1440 + 480 + 240


def test_runs_hold_little_padding():
    lengths = [20 + n for n in range(32)]
    found = runs(lengths)
    assert [a for a, _ in found[1:]] == [b for _, b in found[:-1]]
    assert (found[0][0], found[-1][1]) == (0, 32)
    for a, b in found:
        assert sum(lengths[a:b]) >= 0.9 * (b - a) * max(lengths[a:b])
    assert runs([5, 500] * 16) == [(0, 32)]
    assert runs([7] * 4) == [(0, 4)]


def test_the_scan_and_its_gradient_equal_the_loop():
    generator = torch.Generator().manual_seed(0)
    decay = torch.rand(7, 3, generator=generator, dtype=torch.float64).requires_grad_()
    x = torch.randn(7, 3, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(Scan.apply, (decay, x))
    h, expected = torch.zeros(3, dtype=torch.float64), []
    for step in range(7):
        h = decay[step] * h + x[step]
        expected.append(h)
    torch.testing.assert_close(Scan.apply(decay, x), torch.stack(expected))


@pytest.mark.parametrize("length", [1, 2, 3, 16, 17, 130])
def test_the_chunked_scan_equals_the_loop_in_value_and_gradient(monkeypatch, length):
    generator = torch.Generator().manual_seed(length)
    decay = torch.rand(length, 2, 3, generator=generator)
    decay[length // 2] = 0.0  # a state that is forgotten
    decay, x = decay.requires_grad_(), torch.randn(length, 2, 3, generator=generator).requires_grad_()
    weight = torch.randn(length, 2, 3, generator=generator)
    h, loop = torch.zeros(2, 3), []
    for step in range(length):
        h = decay[step] * h + x[step]
        loop.append(h)
    monkeypatch.setattr(mamba, "scan", chunked_scan)  # as on an accelerator
    made = [torch.stack(loop), chunked_scan(decay, x), Scan.apply(decay, x)]
    grads = [torch.autograd.grad((y * weight).sum(), (decay, x)) for y in made]
    for found, grad in zip(made[1:], grads[1:], strict=True):
        torch.testing.assert_close(found, made[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(grad, grads[0], rtol=1e-5, atol=1e-5)


def test_the_selective_scan_is_its_definition():
    generator = torch.Generator().manual_seed(1)
    x, step = torch.randn(2, 5, 4, generator=generator), torch.rand(2, 5, 4, generator=generator)
    a = -torch.rand(4, 3, generator=generator)
    b, c = torch.randn(2, 5, 3, generator=generator), torch.randn(2, 5, 3, generator=generator)
    h, out = torch.zeros(2, 4, 3), []
    for t in range(5):
        h = torch.exp(step[:, t, :, None] * a) * h + (step[:, t] * x[:, t])[..., None] * b[:, t, None]
        out.append((h * c[:, t, None]).sum(-1))
    torch.testing.assert_close(selective_scan(x, step, a, b, c), torch.stack(out, 1))


def test_a_clip_read_backward_is_its_own():
    turned = reversal(Layout((3, 2), torch.zeros(5, 1)))
    assert turned.tolist() == [2, 1, 0, 4, 3]


@torch.no_grad()
def test_the_cnn_sees_no_further_than_it_says():
    torch.manual_seed(0)
    encoder = KINDS["cnn"]().eval()
    batch = clips((8000,))
    far = batch.wave.clone()
    far[6000:] = 0
    a, b = encoder(View(batch, "clean")).tokens, encoder(View(replace(batch, wave=far), "clean")).tokens
    row = 6000 // encoder.stride
    assert torch.equal(a[: row - 6], b[: row - 6])
    assert not torch.equal(a[row - 3 :], b[row - 3 :])


@torch.no_grad()
def test_patches_are_those_of_the_spectrogram():
    encoder = MelEncoder(SPEC, (8, 4))
    batch = clips((4000, 150))
    mel = encoder.front(batch.wave, batch.lengths)
    layout = encoder.layout(batch)
    cells = encoder.cells(batch, layout)
    assert layout.lengths == (12 * 5, 5)
    step, band = 7, 3
    expected = mel[4 * step : 4 * step + 4, 8 * band : 8 * band + 8].flatten()
    assert torch.equal(cells[step * 5 + band], expected)
    assert layout.position[step * 5 + band].tolist() == [step, band]
    last = cells[60:].unflatten(1, (4, 8))
    assert torch.equal(last[:, 0].flatten(), mel[48])
    assert float(last[:, 1:].abs().max()) == 0.0


@torch.no_grad()
@pytest.mark.parametrize("name", ["vit patches", "vit", "wav2vec2 layer pre", "mamba patches"])
def test_altered_content_is_only_that_of_its_rows(name):
    torch.manual_seed(0)
    encoder = KINDS[name]().eval()
    batch = clips((4000, 8000))
    view = View(batch, "global", layout=encoder.layout(batch))
    hidden = SpanMask(encoder, length=5)(view, Draw(0, 0, batch.ids))
    other = LogMel(SPEC, encoder).alter(batch, view.layout, hidden.hidden, Draw(1, 0, batch.ids))
    a, b = encoder(hidden), encoder(replace(hidden, batch=other))
    torch.testing.assert_close(a.tokens, b.tokens, rtol=0, atol=1e-5)
    assert not torch.allclose(encoder(view).tokens, encoder(replace(view, batch=other)).tokens, atol=1e-3)


def test_clips_shorter_than_a_row_are_named():
    with pytest.raises(ValueError, match="shorter than a row's window"):
        Wav2Vec2(replace(SPEC, seconds=0.025))
