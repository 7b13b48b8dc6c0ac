"""What must be light is light, with everything installed: help, listings and configs never import a heavy library."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "lightning", "sklearn", "scipy", "timm", "transformers", "torchaudio", "monai",
         "torch_geometric", "pandas", "PIL", "plotly", "tensorboard", "numpy")  # fmt: skip
CODE = """
import json, sys, time
start = time.process_time()
{body}
print("\\n" + json.dumps({{"seconds": time.process_time() - start, "modules": sorted(sys.modules)}}))
"""
MAIN = "from unlabeled.cli import main\ncode = main({words!r})\nassert code == 0, code"


def run(body, folder):
    """Run ``body`` in a process of its own; what it imported and the CPU time that it took."""
    environment = {key: value for key, value in os.environ.items() if key != "UNLABELED_PLUGINS"}
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(body=body)],
        capture_output=True, text=True, cwd=folder, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["list"],
        ["list", "vision", "--json"],
        ["recipes"],
        ["matrix"],
        ["vision", "--help"],
        ["vision", "pretrain", "--help"],
        ["vision", "pretrain", "mae", "--help"],
        ["vision", "pretrain", "barlow_twins", "--print-config"],
        ["vision", "pretrain", "--encoder", "timm/resnet18", "--print-config"],
        ["vision", "probe", "--help"],
        ["vision", "finetune", "--help"],
        ["vision", "embed", "--help"],
        ["vision", "export", "--help"],
        ["vision", "preview", "--help"],
        ["medical3d", "segment", "--help"],
        ["audio", "hubert", "--help"],
        ["report", "--help"],
        ["plugin", "--help"],
    ],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(words, tmp_path):
    found = run(MAIN.format(words=words), tmp_path)
    assert [name for name in HEAVY if name in found["modules"]] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("statement", ["import unlabeled", "from unlabeled import Component, Domain, hookimpl"])
def test_the_package_imports_nothing_heavy(statement, tmp_path):
    found = run(statement, tmp_path)
    assert [name for name in HEAVY if name in found["modules"]] == []


def test_a_mistake_is_found_before_torch(tmp_path):
    body = (
        "import sys\nfrom unlabeled.cli import main\n"
        "assert main(['vision', 'pretrain', '--objective.temprature', '1', '--lr', 'x']) == 2"
    )
    assert "torch" not in run(body, tmp_path)["modules"]
