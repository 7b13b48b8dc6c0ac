"""What a run learned beside its encoder, read from its last checkpoint: quantizers, and projections to soft units.

Of recipe ``beats_tokenizer`` a projection and the nearest direction, of ``vq_wav2vec`` its codebooks, of
``invariant_units`` the units that its CTC head says, each held until the next one is said; of ``soft_units`` the
projection of a frame. Nothing is unpickled.

    # T packed rows, D features, V units, X = V + 1 scores of a CTC head, the blank last, G codebooks
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Data, Layout
from unlabeled.errors import UsageError
from unlabeled.nn.codebooks import GumbelProduct, NearestProduct, OnlineKMeans
from unlabeled.nn.heads import mlp
from unlabeled.nn.kmeans import nearest
from unlabeled.probes.embedding import batches, evaluating, take
from unlabeled.runs.folder import LAST
from unlabeled.runs.pretrained import Pretrained, pick_device
from unlabeled.transfer import numbers


def said(scores_TX: Tensor, layout: Layout) -> Tensor:
    """``int64[T]``: the unit that a CTC head says at each row; at a blank that of the last row that said one.

    Before the first it is the first, and in a clip of blanks alone the best unit of each row.
    """
    here, total = torch.arange(layout.total, device=scores_TX.device), layout.total
    offsets = numbers(layout.offsets, here.device)
    spoken = scores_TX.argmax(1) < scores_TX.shape[1] - 1
    before = torch.where(spoken, here, -1).cummax(0).values
    after = torch.where(spoken, here, total).flip(0).cummin(0).values.flip(0)
    place = torch.where(before >= offsets[layout.group], before, after)
    place = torch.where(place < offsets[layout.group + 1], place, here)
    return scores_TX[:, :-1].argmax(1)[place]


class Quantizer(nn.Module):
    """``x[T, D] -> ids[T]``, or ``[T, G]``: ``vocabulary`` units of features of width ``dim``."""

    dim: int
    vocabulary: int

    def forward(self, x_TD: Tensor, layout: Layout) -> Tensor:
        raise NotImplementedError


class Directions(Quantizer):
    """The entry whose direction is nearest to that of a projected row (BEATs)."""

    def __init__(self, enter: nn.Linear, entries_VW: Tensor) -> None:
        super().__init__()
        self.enter, self.dim, self.vocabulary = enter, enter.in_features, len(entries_VW)
        self.register_buffer("entries", entries_VW)

    def forward(self, x_TD: Tensor, layout: Layout) -> Tensor:
        return nearest(F.normalize(self.enter(x_TD).float(), dim=1), self.get_buffer("entries"))


class Product(Quantizer):
    """The entries of vq-wav2vec's codebooks."""

    def __init__(self, books: GumbelProduct | NearestProduct, dim: int) -> None:
        super().__init__()
        self.books, self.dim, self.vocabulary = books, dim, books.entries

    def forward(self, x_TD: Tensor, layout: Layout) -> Tensor:
        ids: Tensor = self.books(x_TD)[1]
        return ids


class Saying(Quantizer):
    """What a CTC head says."""

    def __init__(self, head: nn.Sequential, dim: int, vocabulary: int) -> None:
        super().__init__()
        self.head, self.dim, self.vocabulary = head, dim, vocabulary

    def forward(self, x_TD: Tensor, layout: Layout) -> Tensor:
        return said(self.head(x_TD), layout)


def head_state(run: Path) -> dict[str, Tensor]:
    """The state of a run's objective; empty where there is no checkpoint."""
    if not (run / LAST).is_file():
        return {}
    saved = torch.load(run / LAST, map_location="cpu", weights_only=True)["state_dict"]
    return {k.removeprefix("objective."): v for k, v in saved.items() if k.startswith("objective.")}


def quantizer_of(run: Path) -> Quantizer:
    """The frozen quantizer that a run trained; ``UsageError`` where it has none."""
    state = head_state(run)
    for make in (_directions, _product, _saying):
        found = make(state)
        if found is not None:
            return found.requires_grad_(False).eval()
    raise UsageError(
        f"{run} has no quantizer in {LAST}: it must be a run of recipe beats_tokenizer, invariant_units or vq_wav2vec"
    )


def codebooks_of(run: Path) -> GumbelProduct | NearestProduct | None:
    """The frozen codebooks of a run of recipe vq_wav2vec; None of a run without."""
    found = _product(head_state(run))
    return None if found is None else found.books.requires_grad_(False).eval()


def soft_units_of(run: Path) -> tuple[nn.Linear, Tensor] | None:
    """The projection to soft units of a run of recipe soft_units, and its units ``[V, W]``; None of a run without."""
    state = head_state(run)
    if "head.project.weight" not in state or "head.units" not in state:
        return None
    return _linear(state, "head.project.").requires_grad_(False), state["head.units"][0]


def scores_of(run: Path) -> Tensor:
    """``[V, D]``: what a run of recipe metis scores units with; ``UsageError`` of another."""
    state = head_state(run)
    if "head.units" not in state or "head.project.weight" in state or len(state["head.units"]) > 1:
        raise UsageError(f"{run} has no linear scores of one unit a row: it must be a run of recipe metis")
    return state["head.units"][0]


def _linear(state: Mapping[str, Tensor], name: str) -> nn.Linear:
    weight = state[f"{name}weight"]
    made = nn.Linear(weight.shape[1], weight.shape[0])
    made.load_state_dict({"weight": weight, "bias": state[f"{name}bias"]})
    return made


def _part(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.removeprefix(name): v for k, v in state.items() if k.startswith(name)}


def _directions(state: Mapping[str, Tensor]) -> Quantizer | None:
    if "enter.weight" not in state or "codebook.sums" not in state:
        return None
    book = OnlineKMeans(*state["codebook.sums"].shape, normalize=True)
    book.load_state_dict(_part(state, "codebook."))
    return Directions(_linear(state, "enter."), book.entries)


def _product(state: Mapping[str, Tensor]) -> Product | None:
    own = _part(state, "quantizer.")
    kind, enter = (GumbelProduct, "score.weight") if "score.weight" in own else (NearestProduct, "enter.weight")
    if "codebook" not in own or enter not in own:
        return None
    groups, entries, width = own["codebook"].shape
    books = kind(own[enter].shape[1], width=groups * width, groups=groups, entries=entries)
    books.load_state_dict(own)
    return Product(books, own[enter].shape[1])


def _saying(state: Mapping[str, Tensor]) -> Quantizer | None:
    own = _part(state, "quantizer.")
    maps = [value for name, value in own.items() if name.endswith("weight") and value.dim() == 2]
    if "0.weight" not in own or not maps:
        return None
    head = mlp((maps[0].shape[1], *(weight.shape[0] for weight in maps)), norm="layer")
    head.load_state_dict(own)
    return Saying(head, maps[0].shape[1], maps[-1].shape[0] - 1)


@torch.no_grad()
def write_units(run: Pretrained, data: Data, out: Path, batch_size: int, device: str) -> str:
    """Write the soft units of all clips, or those of the run's quantizer, and say how many."""
    soft, encoder, where = soft_units_of(run.folder), run.encoder, pick_device(device)
    head: nn.Module = quantizer_of(run.folder) if soft is None else soft[0]
    head, encoder = head.to(where), encoder.to(where)
    parts, lengths, ids = [], [], []
    with evaluating(encoder):
        for batch in batches(data, torch.arange(len(data)), batch_size=batch_size, workers=0):
            view = take(run.views, batch.to(where), 1, 0)[0]
            features = encoder(view)
            parts.append((head(features.tokens) if soft else head(features.tokens, features.layout)).cpu())
            lengths += features.layout.lengths
            ids += batch.ids.tolist()
    made = torch.cat(parts)
    columns = {"units": made.numpy(), "offsets": np.cumsum([0, *lengths]), "ids": np.array(ids)}
    columns["rate"] = np.array(run.spec.rate / encoder.stride)
    if hasattr(data, "names"):
        columns["path"] = np.array([data.names[n] for n in ids], dtype=np.str_)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    with temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)
    temporary.replace(out)
    kind = f"{made.shape[1]} numbers" if soft else f"{made[0].numel()} of {head.vocabulary} units"
    return f"saved {out}: {len(ids):,} clips, {len(made):,} rows of {kind}, {columns['rate']:g} rows a second"
