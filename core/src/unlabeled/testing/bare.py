"""Vectors of an exported folder in a bare process: its page's own lines, where nothing of this project can be imported.

The folder is moved first, and the process starts in it: what is exported travels whole, or not at all.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

PROGRAM = """
import json, sys

class Closed:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].startswith("unlabeled"):
            raise ImportError(f"{name} belongs to the project, and an export must do without it")

sys.meta_path.insert(0, Closed())
names = {}
exec(compile(open(sys.argv[1]).read(), "README.md", "exec"), names)
import torch
torch.save(names["embed"](json.loads(sys.argv[2])), sys.argv[3])
"""


def lines_of(page: Path) -> str:
    """The Python that a page shows first."""
    found = re.search(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{page} shows no Python"
    return found[1]


def embed_alone(folder: Path, samples: Sequence[object], page: str = "README.md") -> Tensor:
    """``[N, D]``: what ``embed(samples)`` of the folder's page gives in a process of its own, started in the folder."""
    with tempfile.TemporaryDirectory() as away:
        moved = shutil.copytree(folder, Path(away) / "moved")
        code = Path(away) / "lines.py"
        code.write_text(lines_of(moved / page), encoding="utf-8")
        found = Path(away) / "found.pt"
        command = [
            sys.executable,
            "-I",
            "-W",
            "ignore",
            "-c",
            PROGRAM,
            str(code),
            json.dumps(list(samples)),
            str(found),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=moved)
        assert done.returncode == 0, done.stderr[-3000:]
        vectors: Tensor = torch.load(found, weights_only=True)
        return vectors
