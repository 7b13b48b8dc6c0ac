"""Exported weights load in plain MONAI, by the snippet and by the bundle's config, with equal outputs."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from unlabeled.cli.main import main
from unlabeled.contract import View
from unlabeled.errors import UsageError
from unlabeled.testing.bare import embed_alone
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.encoders.cnn import ResNet3D, ResUNet, SegResNet, UNet
from unlabeled_medical3d.encoders.cswin import CSwinUNet
from unlabeled_medical3d.encoders.rows import map_rows
from unlabeled_medical3d.encoders.slices import Slices
from unlabeled_medical3d.encoders.swin import SwinUNETR
from unlabeled_medical3d.encoders.vit import ViT3D
from unlabeled_medical3d.export.native import native

SPEC = VolumeSpec(1, (32, 32, 32))
KINDS = {"vit": ViT3D, "unet": UNet, "res_unet": ResUNet, "segresnet": SegResNet, "resnet": ResNet3D, "swin": SwinUNETR}
PROGRAM = """
import sys
import torch
from monai.bundle import ConfigParser

for folder in {folders!r}:
    names = {{}}
    with torch.no_grad():
        exec(open(folder + "/run.py").read(), names)
    torch.save(names["found"], folder + "/found.pt")
    parser = ConfigParser()
    parser.read_config(folder + "/configs/inference.json")
    parser["bundle_root"] = folder
    parser.get_parsed_content("load")
    again = parser.get_parsed_content("network_def").state_dict()
    for key, value in names["model"].state_dict().items():
        assert torch.equal(value, again[key]), key
assert not [name for name in sys.modules if name.startswith("unlabeled")]
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Each encoder with its folder, after plain MONAI has run what its snippet says, in a process of its own."""
    made = {}
    images = torch.randn(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    for name, kind in KINDS.items():
        torch.manual_seed(1)
        encoder, folder = kind(SPEC).eval(), tmp_path_factory.mktemp(name)
        lines = native(encoder, SPEC, folder)
        torch.save(images, folder / "x.pt")
        load = f"torch.load({str(folder / 'x.pt')!r}, weights_only=True)"
        (folder / "run.py").write_text(f"{lines}\nfound = features_of({load})\n")
        made[name] = (encoder, folder)
    program = PROGRAM.format(folders=[str(folder) for _, folder in made.values()])
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return images, made


@pytest.mark.parametrize("name", KINDS)
def test_monai_alone_gives_the_same_features(exported, name):
    images, made = exported
    encoder, folder = made[name]
    found = torch.load(folder / "found.pt", weights_only=True)
    with torch.no_grad():
        out = encoder(View(VolumeBatch(torch.arange(2), images, torch.eye(4).repeat(2, 1, 1)), "clean"))
    if found.dim() == 2:
        expected = out.pooled
    elif found.dim() == 3:
        expected = out.tokens.view(2, -1, encoder.dim)
    else:
        expected = out.tokens.view(2, *out.layout.grid, -1).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_bundle_has_what_monai_expects(tmp_path):
    native(UNet(SPEC), SPEC, tmp_path)
    about = json.loads((tmp_path / "configs" / "metadata.json").read_text())
    assert about["network_data_format"]["inputs"]["image"]["spatial_shape"] == [32, 32, 32]
    assert {f.name for f in tmp_path.iterdir()} == {"configs", "docs", "models", "preprocess.py", "preprocess.json"}
    assert "nets.DynUNet(" in (tmp_path / "docs" / "README.md").read_text()


def test_a_vit_is_placed_in_a_unetr(tmp_path):
    spec = VolumeSpec(1, (32, 32, 32))
    encoder = ViT3D(spec, patch=(16,), width=48, depth=12, heads=3).eval()
    native(encoder, spec, tmp_path)
    from monai.networks import nets

    whole = nets.UNETR(**encoder.blueprint.whole_kwargs).eval()
    whole.load_state_dict(torch.load(tmp_path / "models" / "segmentation.pt", weights_only=True))
    x = torch.randn(1, 1, 32, 32, 32)
    batch = VolumeBatch(torch.arange(1), x, torch.eye(4)[None])
    with torch.no_grad():
        torch.testing.assert_close(whole.vit(x)[0][0], encoder(View(batch, "clean")).tokens, atol=1e-5, rtol=1e-4)
        assert whole(x).shape == (1, 2, 32, 32, 32)


def test_the_global_generator_is_left_alone(tmp_path):
    encoder = UNet(SPEC)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    native(encoder, SPEC, tmp_path)
    assert torch.equal(torch.rand(2), expected)


PROGRAM_ALONE = """
import sys
import torch

for folder in {folders!r}:
    names = {{}}
    with torch.no_grad():
        exec(open(folder + "/run.py").read(), names)
    torch.save(names["cells"], folder + "/found.pt")
assert not [name for name in sys.modules if name.startswith(("unlabeled", "monai", "timm"))]
"""


def test_what_monai_has_no_class_for_loads_in_torch_alone(tmp_path):
    torch.manual_seed(1)
    kinds = {"cswin": CSwinUNet(SPEC), "slices": Slices("resnet10t", SPEC, step=8)}
    images = torch.randn(3, 1, 32, 32, 32)
    for name, encoder in kinds.items():
        lines = native(encoder.eval(), SPEC, tmp_path / name)
        torch.save(images, tmp_path / name / "x.pt")
        load = f"torch.load({str(tmp_path / name / 'x.pt')!r}, weights_only=True)"
        (tmp_path / name / "run.py").write_text(f"{lines}\ncells = features_of({load})\n")
    program = PROGRAM_ALONE.format(folders=[str(tmp_path / name) for name in kinds])
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, encoder in kinds.items():
        found = torch.load(tmp_path / name / "found.pt", weights_only=True)
        with torch.no_grad():
            out = encoder(View(VolumeBatch(torch.arange(3), images, torch.eye(4).repeat(3, 1, 1)), "clean"))
        torch.testing.assert_close(map_rows(found), out.tokens, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """CT and MR of other sizes, spacings, directions and places of the body, some smaller than the view."""
    folder, chance = tmp_path_factory.mktemp("scans"), np.random.default_rng(0)
    affines = (np.diag([1.0, 1.0, 1.0, 1.0]), np.diag([-0.8, 1.5, 2.0, 1.0]), np.eye(4)[[2, 0, 1, 3]])
    for number, shape in enumerate(((30, 34, 28), (40, 20, 22), (26, 24, 30), (33, 31, 35))):
        smooth = ndimage.gaussian_filter(chance.standard_normal(shape), 2)
        inside = np.zeros(shape, bool)
        inside[number + 2 : 20, 3:-3, 2 : 15 + number] = True
        image = np.where(inside, 600 + 900 * smooth, 0)
        image = image - 1000 * (number % 2)
        nib.save(nib.Nifti1Image(image.astype(np.float32), affines[number % 3]), folder / f"{number}.nii.gz")
    return folder


@pytest.mark.parametrize(("name", "size"), [("vit", 16), ("slices/resnet10t", 32)])
def test_files_give_what_embed_gives(scans, name, size, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = {"data": scans, "data.size": size, "data.spacing": 1.2, "data.cache": "none", "encoder": name, "epochs": 0}
    words |= {"batch-size": 2, "objective": "simclr", "views": "simclr", "out": "run"}
    flags = [word for key, value in words.items() for word in (f"--{key}", str(value))]
    assert main(["medical3d", "pretrain", *flags, "--no-tensorboard"]) == 0
    assert main(["medical3d", "export", "run"]) == 0
    assert main(["medical3d", "embed", "run", "--data", str(scans), "--out", "f.npz"]) == 0
    files = [str(path) for path in sorted(scans.iterdir())]
    found = embed_alone(Path("run/export-native"), files, "docs/README.md")
    torch.testing.assert_close(found, torch.from_numpy(np.load("f.npz")["x"]), rtol=1e-5, atol=1e-5)


def test_rows_for_each_channel_are_no_class_of_monai(tmp_path):
    spec = VolumeSpec(2, (16, 16, 16))
    with pytest.raises(UsageError, match="rows for each channel"):
        native(ViT3D(spec, per_channel=True, width=24, depth=1), spec, tmp_path)
