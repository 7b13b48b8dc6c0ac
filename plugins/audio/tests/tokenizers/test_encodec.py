"""EnCodec's codes at rows, of a model in a folder."""

import pytest
import torch
from transformers import EncodecConfig, EncodecModel

from unlabeled.errors import UsageError
from unlabeled_audio.batch import AudioBatch, AudioSpec
from unlabeled_audio.encoders.wav2vec2 import Wav2Vec2
from unlabeled_audio.tokenizers.encodec import EnCodec

SPEC = AudioSpec(8000, seconds=1.0, mels=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    sizes = {"num_filters": 4, "hidden_size": 8, "codebook_dim": 8, "codebook_size": 16, "upsampling_ratios": [4, 4, 5]}
    config = EncodecConfig(sampling_rate=8000, target_bandwidths=[1.6], num_lstm_layers=1, **sizes)
    path = tmp_path_factory.mktemp("encodec")
    EncodecModel(config).save_pretrained(path)
    return str(path)


def test_rows_have_the_codes_of_the_nearest_frame(folder):
    encoder = Wav2Vec2(SPEC, width=16, depth=1, heads=2, channels=8, positions=4)
    tokenizer = EnCodec(SPEC, encoder, folder=folder, books=2)
    wave = torch.randn(5000, generator=torch.Generator().manual_seed(0))
    batch = AudioBatch(torch.arange(2), wave, (4000, 1000))
    layout = encoder.layout(batch)
    content, ids = tokenizer(batch, layout)
    assert tokenizer.vocabulary == 16
    assert content.shape == (layout.total, tokenizer.width)
    assert ids.shape == (layout.total, 2)
    model = EncodecModel.from_pretrained(folder).eval()
    for clip, own, codes in zip(batch.clips(), layout.lengths, ids.split(layout.lengths), strict=True):
        with torch.no_grad():
            frames = model.encode((clip / clip.abs().max())[None, None], bandwidth=1.6).audio_codes[0, 0]
        for row in range(own):
            middle = row * encoder.stride + encoder.window / 2
            assert torch.equal(codes[row], frames[:2, min(int(middle / 80), frames.shape[1] - 1)])
    assert EnCodec(SPEC, encoder)(batch, layout)[1].shape == (layout.total, 8)  # without a folder


def test_what_a_folder_lacks_is_named(folder, tmp_path):
    encoder = Wav2Vec2(SPEC, width=16, depth=1, heads=2, channels=8, positions=4)
    with pytest.raises(ValueError, match="has 4 codebooks"):
        EnCodec(SPEC, encoder, folder=folder, books=9)
    with pytest.raises(UsageError, match="holds no EncodecModel"):
        EnCodec(SPEC, encoder, folder=str(tmp_path))
