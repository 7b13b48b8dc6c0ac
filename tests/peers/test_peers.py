"""The peers' own tests of losses pass with ours in place of theirs: lightly's and solo-learn's, as they stand.

Neither ships its tests with the package, so this asks for a checkout:
``UNLABELED_PEERS=/path/to/lightly/tests:/path/to/solo-learn/tests``. What is left out, and why: ``adapter.py``.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
FILES = {
    "lightly": ("loss", [
        "MMCR_loss", "barlow_twins_loss", "dcl_loss", "dino_loss", "ibot_loss", "koleo_loss", "lejepa_loss",
        "negative_cosine_similarity", "ntx_ent_loss", "swav_loss", "sym_neg_cos_sim_loss", "vicreg_loss", "wmse_loss"]),
    "solo-learn": ("losses", [
        "barlow", "byol", "dino", "mocov2plus", "mocov3", "nnclr", "simclr", "simsiam", "swav", "vicreg"]),
}  # fmt: skip


def found(peer: str) -> list[Path]:
    """Its test files in the folders that the environment names."""
    room, names = FILES[peer]
    folders = [Path(text) / room for text in os.environ.get("UNLABELED_PEERS", "").split(os.pathsep) if text]
    return [path for folder in folders for name in names if (path := folder / f"test_{name}.py").is_file()]


@pytest.mark.parametrize("peer", FILES)
def test_a_peers_tests_pass_with_our_losses(peer: str) -> None:
    files = found(peer)
    if not files:
        pytest.skip(f"UNLABELED_PEERS names no folder of {peer}'s tests")
    assert len(files) == len(FILES[peer][1]), f"only {[path.name for path in files]} were found"
    root = files[0].parents[2]  # on the path only once the installed peer is imported
    run = [sys.executable, "-m", "pytest", "-p", "adapter", "-c", os.devnull, "--rootdir", str(root), "-q", "-rfE",
           "-p", "no:cacheprovider", *map(str, files)]  # fmt: skip
    path = os.pathsep.join([str(HERE), *(p for p in sys.path if p)])
    done = subprocess.run(
        run, cwd=root, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    last = done.stdout.strip().splitlines()[-1]
    print(f"{peer}: {last}")
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", last)[1]) >= len(files), last
