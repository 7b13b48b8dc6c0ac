"""Labels of BEATs' later iterations: codes of a tokenizer that recipe ``beats_tokenizer`` has trained.

https://arxiv.org/abs/2212.09058. The run's encoder reads the clip, its output is projected and meets the nearest entry
of the run's codebook, both by direction. Encoder and codebook come from the run folder, by ``weights_only`` loading.

    # T packed rows, W width of a code
"""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.build import frozen
from unlabeled.contract import Layout, View
from unlabeled.errors import UsageError
from unlabeled.nn.codebooks import OnlineKMeans
from unlabeled.nn.kmeans import nearest
from unlabeled.runs.folder import LAST
from unlabeled_audio.batch import AudioBatch, AudioSpec

ENTRIES, WIDTH = 64, 16  # without a run


class Codes:
    """Codes of a trained tokenizer, one a row.

    Args:
        run: run folder of recipe beats_tokenizer, whose encoder has rows like this one's; empty = random codes of the
            encoder's own start, for tests.
    """

    width = 0

    def __init__(self, spec: AudioSpec, encoder: Any, *, run: str = "") -> None:
        self.encoder = frozen("audio", run) if run else copy.deepcopy(encoder).requires_grad_(False).eval()
        self.run = run
        self.enter, self.entries = _trained(Path(run)) if run else _random(self.encoder.dim)
        if self.enter.in_features != self.encoder.dim:
            raise ValueError(
                f"run {run} projects {self.enter.in_features} features; its encoder has {self.encoder.dim}"
            )
        self.vocabulary = len(self.entries)

    @torch.no_grad()
    def __call__(self, batch: AudioBatch, layout: Layout) -> tuple[None, Tensor]:
        heard = batch if batch.target is None else replace(batch, wave=batch.target, mel=None)
        device = batch.wave.device
        self.encoder.to(device)
        own = self.encoder.layout(heard)
        if own.lengths != layout.lengths:
            raise UsageError(
                f"the tokenizer of {self.run or 'this encoder'} has {own.total} rows where the encoder has "
                f"{layout.total}: both need patches of the same size"
            )
        z = self.enter.to(device)(self.encoder(View(heard, "clean", own)).tokens)
        return None, nearest(F.normalize(z.float(), dim=1), self.entries.to(device))


def _random(dim: int) -> tuple[nn.Linear, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(dim, WIDTH).requires_grad_(False), F.normalize(torch.randn(ENTRIES, WIDTH), dim=1)


def _trained(run: Path) -> tuple[nn.Linear, Tensor]:
    """The projection and the codebook out of the run's last checkpoint."""
    file = run / LAST
    if not file.is_file():
        raise UsageError(f"{run} has no {LAST}: it must be a run of recipe beats_tokenizer")
    state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    wanted = {name: state.get(f"objective.{name}") for name in ("enter.weight", "enter.bias", "codebook.sums")}
    if any(x is None for x in wanted.values()):
        raise UsageError(f"{run} has no codebook: it must be a run of recipe beats_tokenizer")
    enter = nn.Linear(wanted["enter.weight"].shape[1], wanted["enter.weight"].shape[0])
    enter.load_state_dict({"weight": wanted["enter.weight"], "bias": wanted["enter.bias"]})
    book = OnlineKMeans(*wanted["codebook.sums"].shape, normalize=True)
    book.load_state_dict({n: state[f"objective.codebook.{n}"] for n in book.state_dict()})
    return enter.requires_grad_(False), book.entries
