"""The upward half of a U-Net: over MONAI's own encoder it is MONAI's DynUNet; over others it ends at the voxels."""

import pytest
import torch
from monai.networks import nets

from unlabeled.contract import View
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.decoders.painter import Painter
from unlabeled_medical3d.decoders.rows import LinearDecoder
from unlabeled_medical3d.decoders.upward import Upward, climbs, maps_of, widths_of
from unlabeled_medical3d.encoders.cnn import ResNet3D, ResUNet, SegResNet, UNet
from unlabeled_medical3d.encoders.cswin import CSwinUNet
from unlabeled_medical3d.encoders.swin import SwinUNETR
from unlabeled_medical3d.encoders.vit import ViT3D

SPEC = VolumeSpec(1, (32, 32, 32))
KINDS = {"unet": UNet, "res_unet": ResUNet, "segresnet": SegResNet, "resnet": ResNet3D}
KINDS |= {"swin": SwinUNETR, "cswin": CSwinUNet}


def view_of(images):
    return View(VolumeBatch(torch.arange(len(images)), images, torch.eye(4).repeat(len(images), 1, 1)), "clean")


@pytest.mark.parametrize("kind", [UNet, ResUNet])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 3.0)])
def test_both_halves_are_monais_dyn_unet(kind, spacing):
    torch.manual_seed(0)
    encoder = kind(VolumeSpec(1, (32, 32, 16), spacing), width=4).eval()
    up = Upward(encoder, 2).eval()
    whole = nets.DynUNet(**encoder.blueprint.whole_kwargs).eval()
    state = {**encoder.model.state_dict(), **up.state_dict()}
    missing, unexpected = whole.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith("skip_layers.") for name in missing)  # the same tensors under a second name
    x = torch.randn(2, 1, 32, 32, 16)
    with torch.no_grad():
        torch.testing.assert_close(up(maps_of(encoder, view_of(x)), x), whole(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_every_map_and_weight_is_used(name):
    encoder = KINDS[name](SPEC)
    up = Upward(encoder, 3)
    x = torch.randn(1, 1, 32, 32, 32)
    out = up(maps_of(encoder, view_of(x)), x)
    assert out.shape == (1, 3, 32, 32, 32)
    out.square().mean().backward()
    assert not [n for n, p in up.named_parameters() if p.grad is None]
    assert len(widths_of(encoder)) == len(encoder.strides)


def test_a_vit_has_one_resolution_and_paints_by_rows():
    encoder = ViT3D(SPEC)
    assert not climbs(encoder)
    with pytest.raises(ValueError, match="falling resolution"):
        Upward(encoder, 1)
    painter = Painter(encoder, LinearDecoder, 64, 1, "auto")
    assert painter.asks == {"encoder": frozenset({"tokens"}), "decoder": True, "content": 1}
