"""Encoders: equal to bare timm, nothing hidden leaks, drops are drops, every parameter learns."""

from dataclasses import replace

import pytest
import timm
import torch

from unlabeled.contract import Features, Needs, Rows, View
from unlabeled.draw import Draw
from unlabeled.masks.random import RandomMask
from unlabeled_vision.batch import ImageBatch, ImageSpec
from unlabeled_vision.encoders.resnet import ResNet
from unlabeled_vision.encoders.rows import auto_patch, grid_layout
from unlabeled_vision.encoders.timm import Timm, ViT

SPEC = ImageSpec(3, 64)


def tiny(name):
    """A small encoder of each kind; the models of timm by name are the smallest of their family."""
    torch.manual_seed(0)
    makers = {
        "vit": lambda: ViT(SPEC, patch=16, width=32, depth=2, heads=2),
        "vit_cls": lambda: ViT(SPEC, patch=16, width=32, depth=2, heads=2, pool="cls", registers=2),
        "resnet": lambda: ResNet(SPEC, depth=10),
    }
    return (makers[name]() if name in makers else Timm(name, SPEC)).eval()


VITS = ["vit", "vit_cls", "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"]
MAPS = ["resnet", "resnet18", "convnext_atto", "swin_tiny_patch4_window7_224", "mobilenetv3_small_050"]


def batch(count=2, size=64, channels=3):
    images = torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))
    return ImageBatch(torch.arange(count), images)


def hide(encoder, images, ratio=0.5):
    view = View(images, "global", encoder.layout(images))
    return RandomMask(ratio=ratio)(view, Draw(0, 0, images.ids))


def changed_under(view, encoder):
    """The view with other pixels at its hidden rows."""
    images = view.batch.images
    h, w = view.layout.grid
    flags = view.hidden.flags(view.layout.total).reshape(-1, 1, h, w)
    at = flags.repeat_interleave(images.shape[2] // h, 2).repeat_interleave(images.shape[3] // w, 3)
    return replace(view, batch=replace(view.batch, images=torch.where(at, images + 3.0, images)))


@pytest.mark.parametrize("name", VITS + MAPS)
def test_with_nothing_hidden_the_output_is_timms(name):
    encoder, view = tiny(name), View(batch(), "clean")
    out, (tokens, pooled) = encoder(view), encoder.bare(view)
    torch.testing.assert_close(out.tokens, tokens, rtol=1e-5, atol=1e-6)
    expected = out.layout.mean(tokens) if pooled is None else pooled
    torch.testing.assert_close(out.pooled, expected, rtol=1e-5, atol=1e-6)
    theirs = encoder.model.forward_features(view.batch.images)
    assert out.prefix is None or torch.equal(out.prefix, theirs[:, : out.prefix.shape[1]])
    assert (pooled is None) == (name == "mobilenetv3_small_050"), "its head widens the vector"


def test_a_fresh_model_of_the_blueprint_takes_the_weights():
    encoder = tiny("vit_cls")
    model = timm.create_model(encoder.blueprint.name, **encoder.blueprint.kwargs).eval()
    model.load_state_dict(encoder.model.state_dict())
    images = batch()
    torch.testing.assert_close(model(images.images), encoder(View(images, "clean")).pooled, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [*VITS, *MAPS, "vit_small_patch16_dinov3"])
def test_hidden_content_does_not_leak(name):
    encoder = tiny(name)
    view = hide(encoder, batch())
    other = changed_under(view, encoder)
    seen = encoder(view)
    assert torch.equal(seen.tokens, encoder(other).tokens)
    assert not torch.allclose(seen.tokens, encoder(view.clean()).tokens)
    if "drop" in encoder.can:
        out = encoder(view, hide="drop")
        assert torch.equal(out.layout.position, view.layout.position[out.kept.index])
        assert torch.equal(out.tokens, encoder(other, hide="drop").tokens)


@pytest.mark.parametrize("name", [*VITS, "vit_small_patch16_dinov3"])
def test_dropping_no_row_equals_the_whole(name):
    encoder, images = tiny(name), batch()
    layout = encoder.layout(images)
    nothing = Rows(torch.empty(0, dtype=torch.int64), (0, 0))
    whole = encoder(View(images, "clean", layout))
    out = encoder(View(images, "clean", layout, hidden=nothing), hide="drop")
    torch.testing.assert_close(out.tokens, whole.tokens, rtol=1e-5, atol=1e-5)


def test_a_drop_keeps_each_rows_position():
    encoder, images = tiny("vit"), batch()
    encoder.model.blocks = torch.nn.Sequential()
    view = hide(encoder, images)
    whole, out = encoder(view.clean()), encoder(view, hide="drop")
    assert torch.equal(out.tokens, whole.tokens[out.kept.index])


def test_uneven_drops_are_refused():
    encoder, images = tiny("vit"), batch()
    hidden = Rows(torch.tensor([0, 1, 16]), (2, 1))
    with pytest.raises(ValueError, match="same number of rows of each sample"):
        encoder(View(images, "global", encoder.layout(images), hidden=hidden), hide="drop")


def test_swap_moves_content_and_not_position():
    encoder, images = tiny("vit"), batch()
    layout = encoder.layout(images)
    swap = torch.arange(layout.total)
    swap[[0, 5]] = swap[[5, 0]]
    moved = images.images.clone()
    moved[0, :, :16, :16], moved[0, :, 16:32, 16:32] = images.images[0, :, 16:32, 16:32], images.images[0, :, :16, :16]
    swapped = encoder(View(images, "global", layout, swap=swap))
    by_hand = encoder(View(replace(images, images=moved), "global", layout))
    torch.testing.assert_close(swapped.tokens, by_hand.tokens, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["vit", "vit_cls", "resnet", "convnext_atto"])
def test_layers_come_in_the_order_asked(name):
    encoder = tiny(name)
    view = View(batch(), "clean")
    last, first = encoder(view, layers=(-1, 0)).layers
    again = encoder(view, layers=(0,)).layers[0]
    torch.testing.assert_close(first.tokens, again.tokens)
    assert isinstance(last, Features)
    assert last.tokens.shape == (last.layout.total, last.pooled.shape[1])
    if name == "vit":  # outputs of blocks, before the norm
        torch.testing.assert_close(encoder.model.norm(last.tokens), encoder(view).tokens)


@pytest.mark.parametrize("name", ["vit", "vit_cls", "resnet", "convnext_atto", "mobilenetv3_small_050"])
@pytest.mark.parametrize("objective", ["pooled", "masked"])
def test_no_trainable_parameter_is_left_unused(name, objective):
    encoder = tiny(name).train()
    masks = frozenset({"tokens", "mask"}) if objective == "masked" else frozenset()
    encoder.prepare(Needs(views={"global": 1}, encoder=masks))
    view = hide(encoder, batch())
    out = encoder(view if objective == "masked" else view.clean())
    (out.pooled.sum() + out.tokens.square().sum()).backward()
    unused = [n for n, p in encoder.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused
    if encoder.plain:
        assert encoder.mask_token.requires_grad == (objective == "masked")


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_local_crops_of_another_size(name):
    encoder, small = tiny(name), batch(size=40)
    out = encoder(View(small, "local"))
    assert out.layout.grid == ((3, 3) if name == "vit" else (5, 5))
    assert out.tokens.shape[0] == out.layout.total


def test_resnet_takes_the_small_stem_by_size():
    assert ResNet(ImageSpec(1, 32), depth=10).layout(batch(2, 32, 1)).grid == (4, 4)
    assert ResNet(ImageSpec(1, 96), depth=10).layout(batch(2, 96, 1)).grid == (3, 3)
    assert ResNet(ImageSpec(1, 96), depth=10, small_stem="yes").layout(batch(2, 96, 1)).grid == (12, 12)


@pytest.mark.parametrize(("size", "patch"), [(8, 2), (16, 4), (28, 4), (32, 4), (64, 8), (96, 8), (100, 10), (224, 16)])
def test_patches_fit_the_image(size, patch):
    assert auto_patch(size) == patch


def test_layouts_are_row_major():
    layout = grid_layout(2, (2, 3), torch.device("cpu"))
    assert layout.lengths == (6, 6)
    assert layout.position[6:].tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]


def test_errors_say_what_is_right():
    with pytest.raises(ValueError, match="can neither drop nor swap"):
        tiny("resnet")(hide(tiny("resnet"), batch()), hide="drop")
    with pytest.raises(ValueError, match=r"timm has no model .resnt18.\. Perhaps you meant"):
        Timm("resnt18", SPEC)
    with pytest.raises(ValueError, match="patch 5 does not divide images of 64 px; 8 does"):
        ViT(SPEC, patch=5)
    with pytest.raises(ValueError, match="width 33 is not a multiple of heads 4"):
        ViT(SPEC, width=33)
    with pytest.raises(ValueError, match="resnet18 takes no patch"):
        Timm("resnet18", SPEC, patch=4)
    with pytest.raises(ValueError, match="cannot be cut"):
        auto_patch(131)


@pytest.mark.parametrize("size", [16, 32, 128])
def test_a_fresh_vit_computes_with_its_blocks_at_any_width(size):
    """Weights too small for their width leave a map that is linear in the patches, which learns slowly."""
    torch.manual_seed(0)
    encoder = ViT(ImageSpec(1, size))
    x = encoder.model.patch_embed(torch.randn(4, 1, size, size)).flatten(1, -2)
    for block in encoder.model.blocks:
        y = block(x)
        assert 0.25 < (y - x).std() / x.std() < 3
        x = y
    weight = encoder.model.patch_embed.proj.weight.flatten(1)
    assert weight.std().item() == pytest.approx((2 / sum(weight.shape)) ** 0.5, rel=0.1)
    assert encoder.model.pos_embed.square().mean().item() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(("make", "size"), [(ViT, 16), (ViT, 64), (ResNet, 32)])
def test_settings_that_were_resolved_give_the_same_network_at_any_size(make, size):
    spec = ImageSpec(3, size)
    auto = make(spec)
    given = make(spec, **auto.resolved)
    assert {k: v.shape for k, v in given.state_dict().items()} == {k: v.shape for k, v in auto.state_dict().items()}
    assert not {0, "auto"} & set(auto.resolved.values())
