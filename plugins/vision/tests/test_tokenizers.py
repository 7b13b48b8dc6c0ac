"""Patches: bit-equal to transformers, aligned with the encoder's rows."""

import pytest
import torch

from unlabeled_vision.batch import ImageBatch, ImageSpec
from unlabeled_vision.encoders.resnet import ResNet
from unlabeled_vision.encoders.timm import ViT
from unlabeled_vision.tokenizers import Patches, patchify


def test_patchify_equals_transformers():
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    config = ViTMAEConfig(
        image_size=32, patch_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
        decoder_hidden_size=8, decoder_num_hidden_layers=1, decoder_num_attention_heads=1,
    )  # fmt: skip
    images = torch.randn(2, 3, 32, 32)
    theirs = ViTMAEForPreTraining(config).patchify(images)
    assert torch.equal(patchify(images, (4, 4)), theirs.flatten(0, 1))


def test_content_stands_at_the_row_of_its_patch():
    spec = ImageSpec(2, 16)
    encoder = ViT(spec, patch=4, width=16, depth=1)
    tokenizer = Patches(spec, encoder)
    batch = ImageBatch(torch.arange(3), torch.randn(3, 2, 16, 16))
    layout = encoder.layout(batch)
    content, ids = tokenizer(batch, layout)
    assert ids is None
    assert content.shape == (layout.total, tokenizer.width) == (48, 32)
    for row in (0, 5, 17, 47):
        y, x = layout.position[row].tolist()
        patch = batch.images[layout.group[row], :, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
        assert torch.equal(content[row], patch.permute(1, 2, 0).flatten())


def test_a_map_has_patches_too_and_an_uneven_one_none():
    assert Patches(ImageSpec(1, 32), ResNet(ImageSpec(1, 32), depth=10)).width == 64
    assert Patches(ImageSpec(1, 36), ResNet(ImageSpec(1, 36), depth=10)).width == 0
    with pytest.raises(ValueError, match="36 x 36 px cannot be cut into 5 x 5"):
        patchify(torch.zeros(1, 1, 36, 36), (5, 5))
