"""CNNs and Swin UNETR: MONAI's own maps, nnU-Net's plan, and sparse-style masking that leaks nothing."""

from dataclasses import replace

import pytest
import torch
from monai.networks import nets
from torch import nn

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.masks.random import RandomMask
from unlabeled.testing.ranks import run_ranks
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.encoders.cnn import ResNet3D, ResUNet, SegResNet, UNet, plan
from unlabeled_medical3d.encoders.rows import voxel_flags
from unlabeled_medical3d.encoders.swin import SwinUNETR
from unlabeled_medical3d.export.native import placed
from unlabeled_medical3d.ops.sparse import install

SPEC = VolumeSpec(1, (16, 16, 16))
CNNS = {"unet": UNet, "res_unet": ResUNet, "segresnet": SegResNet, "resnet": ResNet3D}


def view_of(encoder, count=3, spec=SPEC):
    images = torch.randn(count, spec.channels, *spec.size, generator=torch.Generator().manual_seed(0))
    batch = VolumeBatch(torch.arange(count), images, torch.eye(4).repeat(count, 1, 1))
    return View(batch, "clean", layout=encoder.layout(batch))


def masked(view, ratio=0.5):
    return RandomMask(ratio=ratio)(view, Draw(0, 0, view.batch.ids))


def make(name, spec=SPEC):
    torch.manual_seed(0)
    encoder = CNNS[name](spec, width=8)
    for module in encoder.modules():  # affine parameters at 1 and 0 would hide that an empty cell is shifted
        if isinstance(module, (nn.InstanceNorm3d, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)) and module.affine:
            nn.init.normal_(module.bias)
    return encoder


@pytest.mark.parametrize("name", CNNS)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_sparse_masking_leaks_nothing_into_any_map(name, mode):
    encoder = getattr(make(name), mode)()
    view = masked(view_of(encoder))
    changed = replace(view, batch=replace(view.batch, images=_other(view)))
    stages = tuple(range(len(encoder.strides)))
    before, after = (encoder(v, hide="drop", layers=stages) for v in (view, changed))
    torch.testing.assert_close(after.tokens, before.tokens, atol=0, rtol=0)
    torch.testing.assert_close(after.pooled, before.pooled, atol=0, rtol=0)
    for a, b in zip(after.layers, before.layers):
        torch.testing.assert_close(a.tokens, b.tokens, atol=0, rtol=0)
    seen = replace(view, batch=replace(view.batch, images=view.batch.images + 1e-1 * torch.randn(16)))
    assert not torch.equal(encoder(seen, hide="drop").tokens, before.tokens)


def _other(view):
    flags = voxel_flags(view.hidden, view.layout, view.batch.images.shape[2:])
    return torch.where(flags, torch.randn_like(view.batch.images) * 9, view.batch.images)


@pytest.mark.parametrize("name", CNNS)
def test_hidden_cells_stay_empty_in_every_map(name):
    encoder = make(name)
    view = masked(view_of(encoder))
    out = encoder(view, hide="drop", layers=tuple(range(len(encoder.strides))))
    for layer in out.layers:
        x = layer.tokens.view(3, *layer.layout.grid, -1).permute(0, 4, 1, 2, 3)
        flags = voxel_flags(view.hidden, view.layout, x.shape[2:]).expand_as(x)
        assert (x[flags] == 0).all()
        assert (x[~flags] != 0).any()
    assert len(out.tokens) == len(view.hidden.complement(view.layout))


@pytest.mark.parametrize("name", ["unet", "segresnet"])
def test_statistics_are_those_of_the_visible_alone(name):
    # an axis of a volume is hidden at one end; a shorter volume, the visible part alone, has the same statistics, and
    # cells that no kernel joins to the cut are equal
    norm = {"unet": nn.InstanceNorm3d(4, affine=True), "segresnet": nn.GroupNorm(2, 4)}[name]
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    box = nn.Sequential(norm)
    visible = install(box)
    x = torch.randn(2, 4, 8, 4, 4)
    shown = torch.ones(2, 1, 4, 2, 2)
    shown[:, :, 2:] = 0
    with visible.of(shown):
        found = box(x)
    torch.testing.assert_close(found[:, :, :4], box(x[:, :, :4].contiguous()))
    assert (found[:, :, 4:] == 0).all()


def test_sparse_batchnorm_counts_visible_voxels_and_tracks_them():
    torch.manual_seed(0)
    box = nn.Sequential(nn.BatchNorm3d(3)).train()
    plain = nn.BatchNorm3d(3).train()
    visible = install(box)
    x = torch.randn(4, 3, 4, 4, 4)
    shown = torch.zeros(4, 1, 2, 2, 2)
    shown[:, :, 0] = 1
    with visible.of(shown):
        found = box(x)
    torch.testing.assert_close(found[:, :, :2], plain(x[:, :, :2]))
    torch.testing.assert_close(box[0].running_mean, plain.running_mean)
    torch.testing.assert_close(box[0].running_var, plain.running_var)
    assert sorted(box.state_dict()) == sorted(f"0.{key}" for key in plain.state_dict())


@pytest.mark.parametrize("name", CNNS)
def test_sparse_masking_holds_in_bfloat16(name):
    encoder = make(name).eval()
    view = masked(view_of(encoder))
    expected = encoder(view, hide="drop")
    with torch.autocast("cpu", torch.bfloat16):
        out = encoder(view, hide="drop")
    assert torch.isfinite(out.tokens).all()
    near = torch.nn.functional.cosine_similarity(out.tokens.float(), expected.tokens, dim=1)
    assert near.min() > 0.98


def sparse_step(*_):
    """Pooled features and the gradient of a sparse BatchNorm network on this rank's share of a batch."""
    from unlabeled.nn.distributed import rank, world

    encoder = make("resnet").train()
    view = masked(view_of(encoder, 4))
    share = 4 // world()
    part = view.cut(rank() * share, (rank() + 1) * share)
    out = encoder(part, hide="drop").pooled.square().sum() / share
    out.backward()
    flat = torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])
    if world() > 1:
        torch.distributed.all_reduce(flat)
        flat /= world()
    return {"gradient": flat}


def test_sparse_batchnorm_on_two_ranks_is_that_on_one():
    several, one = run_ranks(sparse_step, 2), sparse_step()
    gap = (several[0]["gradient"] - one["gradient"]).norm() / one["gradient"].norm()
    assert gap < 1e-4


@pytest.mark.parametrize("name", ["unet", "res_unet", "segresnet"])
def test_maps_are_those_of_monais_whole_network(name):
    encoder = make(name).eval()
    view = view_of(encoder)
    blueprint = encoder.blueprint
    whole = placed(encoder, blueprint.whole, blueprint.whole_kwargs, blueprint.prefix).eval()
    found = {}
    part = whole.bottleneck if name != "segresnet" else whole.down_layers[-1]
    part.register_forward_hook(lambda module, inputs, output: found.update(x=output))
    with torch.no_grad():
        whole(view.batch.images)
        out = encoder(view)
    torch.testing.assert_close(out.tokens, found["x"].flatten(2).transpose(1, 2).flatten(0, 1), atol=1e-5, rtol=1e-5)


def test_swin_maps_are_monais():
    spec = VolumeSpec(1, (32, 32, 32))
    torch.manual_seed(0)
    encoder = SwinUNETR(spec, level=3).eval()
    view = view_of(encoder, 1, spec)
    whole = placed(encoder, "SwinUNETR", encoder.blueprint.whole_kwargs, "swinViT.").eval()
    with torch.no_grad():
        expected = whole.swinViT(view.batch.images)
        out = encoder(view, layers=(0, 1, 2, 3))
    for layer, x in zip(out.layers, expected):
        torch.testing.assert_close(layer.tokens, x.flatten(2).transpose(1, 2).flatten(0, 1), atol=1e-5, rtol=1e-4)
    assert encoder.dim == out.tokens.shape[1] == 96
    with pytest.raises(ValueError, match="cannot drop"):
        encoder(masked(view), hide="drop")


def test_swin_trains_the_stages_that_run_and_no_others():
    encoder = SwinUNETR(VolumeSpec(1, (32, 32, 32)))
    assert encoder.resolved["level"] == 2
    encoder(view_of(encoder, 1, encoder.spec)).tokens.square().sum().backward()
    named = {n: p for n, p in encoder.named_parameters() if n.startswith("model.")}
    assert all((p.grad is not None) == p.requires_grad for p in named.values())
    frozen = {n.split(".")[1] for n, p in named.items() if not p.requires_grad}
    assert frozen == {"layers3", "layers4"}


def test_the_plan_is_nnu_nets():
    kernels, strides = plan((96, 96, 96), (1.0, 1.0, 1.0))
    assert strides == [(1, 1, 1)] + [(2, 2, 2)] * 4
    kernels, strides = plan((64, 64, 16), (1.0, 1.0, 5.0))  # thick slices: not halved before they are thin
    assert strides[1:4] == [(2, 2, 1), (2, 2, 1), (2, 2, 2)]
    assert kernels[0] == (3, 3, 1)
    assert kernels[3] == (3, 3, 3)


def test_an_anisotropic_unet_runs_and_masks():
    spec = VolumeSpec(1, (32, 32, 8), (1.0, 1.0, 4.0))
    encoder = UNet(spec, width=8)
    view = masked(view_of(encoder, 2, spec))
    assert view.layout.grid == (4, 4, 4)
    out = encoder(view, hide="drop")
    assert out.tokens.shape == (2 * 32, encoder.dim)


@pytest.mark.parametrize(
    ("make_one", "said"),
    [
        (lambda: UNet(VolumeSpec(1, (12, 12, 12))), "a U-Net needs 2"),
        (lambda: ResNet3D(VolumeSpec(1, (20, 20, 20))), r"do not fit its stride \(8, 8, 8\); \(16, 16, 16\) would"),
    ],
)
def test_wrong_settings_are_named(make_one, said):
    with pytest.raises(ValueError, match=said):
        make_one()


def test_state_keys_are_the_librarys():
    keys = set(ResNet3D(SPEC, width=8).model.state_dict())
    assert keys == set(nets.ResNet(**ResNet3D(SPEC, width=8).blueprint.kwargs).state_dict())
