"""Native export: another process, which knows nothing of this project, gets identical outputs."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from unlabeled.contract import View
from unlabeled_vision.batch import ImageBatch, ImageSpec
from unlabeled_vision.encoders.resnet import ResNet
from unlabeled_vision.encoders.timm import Timm, ViT
from unlabeled_vision.export import native

SPEC = ImageSpec(1, 32)
ENCODERS = {
    "vit": lambda: ViT(SPEC, width=32, depth=2, heads=2, registers=1),
    "resnet": lambda: ResNet(SPEC, depth=10),
    "timm": lambda: Timm("vit_tiny_patch16_224", SPEC, patch=8),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_plain_timm_gives_the_same_outputs(name, tmp_path):
    encoder = ENCODERS[name]().eval()
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        pooled = encoder(View(ImageBatch(torch.arange(2), images), "clean")).pooled
    code = native(encoder, SPEC, tmp_path / "out")
    save_file({"images": images, "pooled": pooled.contiguous()}, tmp_path / "expected.safetensors")
    check = f"""
import sys
expected = load_file({str(tmp_path / "expected.safetensors")!r})
import torch
with torch.no_grad():
    found = model(expected["images"])
torch.testing.assert_close(found, expected["pooled"], rtol=1e-5, atol=1e-6)
assert not [m for m in sys.modules if m.startswith("unlabeled")], "plain timm alone"
print("same")
"""
    out = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True)
    assert out.stdout.strip() == "same", out.stderr
    assert code in (tmp_path / "out" / "README.md").read_text()


def test_the_lines_say_how_to_normalize(tmp_path):
    code = native(ENCODERS["vit"](), SPEC, tmp_path)
    assert "mean [0.5] and std [0.25]" in code
    assert "float [B, 1, 32, 32]" in code
