"""Peak memory of each domain's default recipe, a few steps of pre-training and a quick probe, each in its own process.

Beside the domains' own data, 400 clips of five seconds and 1,000 images of 64 px, of noise. ``imports`` is what torch,
Lightning and what they import take before anything is done.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import arguments, save

OWN = ("vision", "audio", "text", "graph", "medical3d")


def peak(*words: str) -> float:
    """Most MB of resident memory that a process of Python took."""
    child = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} ended with {status}:\n{said[-2000:]}")
    return usage.ru_maxrss / 1024


def clips(folder: Path) -> Path:
    """400 of five seconds in two classes."""
    import soundfile

    random = np.random.default_rng(0)
    for number in range(400):
        path = folder / "ab"[number % 2] / f"{number}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, random.normal(0, 0.1, 80000), 16000)
    return folder


def images(folder: Path) -> Path:
    """1,000 of 64 px in two classes."""
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(1000):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    return folder


def main() -> None:
    args = arguments(__doc__ or "", only="", steps=6)
    floor, rows = peak("-c", "import lightning.pytorch, unlabeled.api"), []
    with tempfile.TemporaryDirectory() as text:
        root = Path(text)
        cases = {domain: (domain, ()) for domain in OWN}
        cases["vision, 1,000 images of 64 px"] = ("vision", ("--data", str(images(root / "images"))))
        cases["audio, 400 clips of 5 s"] = ("audio", ("--data", str(clips(root / "clips"))))
        for name, (domain, data) in cases.items():
            if args.only in name:
                run = str(root / name)
                more = ("--out", run, "--steps", str(args.steps), "--no-tensorboard")
                trained = peak("-m", "unlabeled", domain, "pretrain", *data, *more)
                probed = peak("-m", "unlabeled", domain, "probe", run, "--quick")
                rows.append({"name": name, "imports": floor, "pretrain": trained, "probe": probed})
                print(rows[-1], flush=True)
    save("memory", {"rows": rows})


if __name__ == "__main__":
    main()
