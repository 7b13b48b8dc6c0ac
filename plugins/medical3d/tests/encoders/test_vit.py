"""ViT-3D: MONAI's own numbers, hidden cubes that cost nothing and leak nothing, channels with rows of their own."""

from dataclasses import replace

import pytest
import torch
from monai.networks import nets
from torch.utils.flop_counter import FlopCounterMode

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.masks.random import RandomMask
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.encoders.vit import ViT3D, cube_side
from unlabeled_medical3d.tokenizers import Patches

SPEC = VolumeSpec(2, (16, 16, 8))


def view_of(encoder, size=(16, 16, 8), channels=2, count=3):
    images = torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(0))
    batch = VolumeBatch(torch.arange(count), images, torch.eye(4).repeat(count, 1, 1))
    return View(batch, "clean", layout=encoder.layout(batch))


def masked(view, ratio=0.5):
    return RandomMask(ratio=ratio)(view, Draw(0, 0, view.batch.ids))


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return ViT3D(SPEC, patch=(4,), width=24, depth=2, heads=2)


def test_tokens_are_monais_with_its_plain_attention(encoder):
    view = view_of(encoder)
    plain = nets.ViT(**encoder.blueprint.kwargs)
    plain.load_state_dict(encoder.model.state_dict())
    with torch.no_grad():
        expected, states = plain(view.batch.images)
        out = encoder(view, layers=(0, 1))
    torch.testing.assert_close(out.tokens, expected.flatten(0, 1), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.pooled, expected.mean(1), atol=1e-5, rtol=0)
    for ours, theirs in zip(out.layers, states):
        torch.testing.assert_close(ours.tokens, theirs.flatten(0, 1), atol=1e-5, rtol=0)


def test_dropping_equals_monais_blocks_on_the_kept_rows(encoder):
    view = masked(view_of(encoder))
    model = encoder.model
    with torch.no_grad():
        x = model.patch_embedding(view.batch.images)
        kept = view.hidden.complement(view.layout).index
        x = x.flatten(0, 1)[kept].unflatten(0, (3, -1))
        for block in model.blocks:
            x = block(x)
        expected = model.norm(x).flatten(0, 1)
        out = encoder(view, hide="drop")
    torch.testing.assert_close(out.tokens, expected)
    assert torch.equal(out.kept.index, kept)


def test_time_falls_with_the_hidden_share():
    spec = VolumeSpec(1, (64, 64, 64))
    encoder = ViT3D(spec, patch=(8,), width=96, depth=3, heads=3)
    view = view_of(encoder, (64,) * 3, 1, 1)

    def work(ratio):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            encoder(masked(view, ratio) if ratio else view, hide="drop")
        return counter.get_total_flops()

    whole = work(0)
    stem = 2 * 96 * 64**3  # of the cubes' embedding, which all rows get
    for ratio in (0.25, 0.5, 0.75):
        assert work(ratio) - stem < (1 - ratio) * (whole - stem) * 1.01  # attention falls with its square


def test_other_grids_get_interpolated_positions(encoder):
    out = encoder(view_of(encoder, (8, 8, 8)))
    assert out.layout.grid == (2, 2, 2)
    assert encoder.positions((2, 2, 2)).shape == (1, 8, 24)
    with pytest.raises(ValueError, match="cannot be cut into cubes"):
        encoder.layout(VolumeBatch(torch.arange(1), torch.zeros(1, 2, 10, 8, 8), torch.eye(4)[None]))


def test_rows_for_each_channel_hide_cubes_of_one_channel_alone():
    torch.manual_seed(0)
    encoder = ViT3D(SPEC, patch=(4,), width=24, depth=2, heads=2, per_channel=True)
    view = view_of(encoder)
    assert view.layout.grid == (2, 4, 4, 2)
    tokenizer = Patches(SPEC, encoder)
    content, _ = tokenizer(view.batch, view.layout)
    assert content.shape == (3 * 64, tokenizer.width) == (192, 64)
    torch.testing.assert_close(content[32], view.batch.images[0, 1, :4, :4, :4].flatten())
    hidden = masked(view)
    before = encoder(hidden, hide="drop")
    images = view.batch.images.clone()
    flags = hidden.hidden.flags(192).view(3, 2, 4, 4, 2)
    wide = flags.repeat_interleave(4, 2).repeat_interleave(4, 3).repeat_interleave(4, 4)
    assert (wide[:, 0] != wide[:, 1]).any()
    images[wide] += 5
    after = encoder(replace(hidden, batch=replace(view.batch, images=images)), hide="drop")
    torch.testing.assert_close(after.tokens, before.tokens)


def test_unused_parameters_of_monai_ask_for_no_gradient(encoder):
    encoder(view_of(encoder)).tokens.square().sum().backward()
    lacking = [n for n, p in encoder.named_parameters() if p.requires_grad and p.grad is None]
    assert lacking == []
    frozen = {n.split(".")[-2] for n, p in encoder.named_parameters() if not p.requires_grad and "." in n}
    assert frozen == {"norm_cross_attn"}


def test_automatic_sizes_divide_the_volume():
    assert [cube_side(n) for n in (96, 64, 48, 32, 16, 20, 90)] == [16, 8, 8, 8, 4, 4, 6]
    assert ViT3D(VolumeSpec(1, (32, 48, 32))).resolved == {
        "patch": (8, 8, 8), "width": 192, "depth": 6, "heads": 6
    }  # fmt: skip
