"""Commands in this process, and one short run of the toy domain that tests copy."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from unlabeled.cli import main
from unlabeled.plugins.registry import registry, use_files

TOY = Path(__file__).parent.with_name("toy_domain.py")
SHORT = ("--epochs", "1", "--batch-size", "16", "--log-every", "1", "--data.samples", "32", "--no-tensorboard")


@dataclass(frozen=True)
class Ran:
    """What a command gave back."""

    code: int
    out: str
    err: str


@pytest.fixture
def unlabeled(toy, capsys):
    """``unlabeled("toy", "pretrain", ...)`` with the toy's plugin file."""

    def command(*words):
        capsys.readouterr()
        code = main(["--plugin", toy, *map(str, words)])
        return Ran(code, *capsys.readouterr())

    return command


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run folder; not to be changed."""
    out = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLABELED_PLUGINS", "")
        use_files([])
        registry.cache_clear()
        code = main(["--plugin", str(TOY), "toy", "pretrain", "--out", str(out), *SHORT])
        use_files([])
        registry.cache_clear()
    assert code == 0
    return out


@pytest.fixture
def run(trained, tmp_path):
    """A run folder of one's own."""
    return Path(shutil.copytree(trained, tmp_path / "run"))
