"""Probes of frames: classes from one frame, and SUPERB's weighted layers.

``frames``: each frame of a clip is classified on its own (the clip's class stands for the frame's), by logistic
regression on at most ``most`` frames of train. ``superb`` (https://arxiv.org/abs/2105.01051): a softmax-weighted sum of
all layers, averaged over time, a projection and a linear layer, trained with Adam while the encoder stands still. As
averaging and projecting are linear, each layer is averaged once beforehand. Differs from SUPERB: fewer steps and a
larger rate, as sets here are small; the features are standardized by train.

    # N clips, T frames, L layers, D features
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Asks, Data, Features
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import above
from unlabeled.probes.frozen import Frozen
from unlabeled.probes.splits import shuffled
from unlabeled_audio.probes.speakers import logistic

ENCODERS = ("untrained", "pre-trained")  # rows with tokens
DEPTH = 64  # layers are asked for from the last backwards until the encoder has no more


def frames_of(frozen: Frozen, ids: Tensor, most: int = 0) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Frames ``[T, D]`` of the clips ``ids``, the clip's id of each, and the frames of each clip.

    ``most``: of so many frames, about, spread over all clips; 0 = all.
    """
    tokens, owner, clips = [], [], []
    for batch, _, features in frozen.encode(ids):
        x = features.tokens.float().cpu()
        tokens.append(x)
        owner.append(batch.ids.cpu()[features.layout.group.cpu()])
        clips += list(x.split(features.layout.lengths))
    x, of = torch.cat(tokens), torch.cat(owner)
    if most and len(x) > most:
        key = Draw(frozen.seed, 0, torch.arange(len(x))).words(1, Purpose.SPLIT)[:, 0]
        chosen = torch.argsort(key)[:most].sort().values
        x, of = x[chosen], of[chosen]
    return x, of, clips


def layer_count(frozen: Frozen) -> int:
    """How many layers the encoder gives."""
    for depth in range(1, DEPTH):
        try:
            next(frozen.encode(frozen.train[:1], layers=(-depth,)))
        except IndexError:
            return depth - 1
    return DEPTH - 1


def pooled_layers(frozen: Frozen, ids: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``[N, L, D]``: each layer's frames averaged over the clip, and the clips' ids."""

    def rows() -> Iterator[tuple[Tensor, Tensor]]:
        for batch, _, features in frozen.encode(ids, layers=tuple(range(-count, 0))):
            layers: tuple[Features, ...] = features.layers
            yield torch.stack([f.layout.mean(f.tokens).float().cpu() for f in layers], 1), batch.ids.cpu()

    x, found = zip(*rows(), strict=True)
    return torch.cat(x), torch.cat(found)


class WeightedLayers(nn.Module):
    """``x[N, L, D] -> scores[N, classes]``: softmax-weighted layers, projector, linear."""

    def __init__(self, layers: int, dim: int, width: int, classes: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.project = nn.Linear(dim, width)
        self.classify = nn.Linear(width, classes)

    def forward(self, x_NLD: Tensor) -> Tensor:
        mixed = torch.einsum("nld,l->nd", x_NLD, self.weights.softmax(0))
        return self.classify(self.project(mixed))


class Frames:
    """Classes of single frames.

    Args:
        most: frames of train that are learned from, about.
    """

    asks = Asks(reads="encoder", labels=True, kinds=ENCODERS)

    def __init__(self, *, most: int = 5000) -> None:
        above(0, most=most)
        self.most = most
        self.spec = f"frames-v1: the clip's class of each frame, logistic regression with C 1 on {most} frames of train"

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        labels = frozen.data.labels
        assert labels is not None
        (train_x, train_of, _), (test_x, test_of, _) = (
            frames_of(frozen, ids[labels[ids] >= 0], self.most) for ids in (frozen.train, frozen.test)
        )
        return {"accuracy": logistic(train_x, labels[train_of], test_x, labels[test_of])}


class Superb:
    """SUPERB's protocol: weighted layers under a small head.

    Args:
        width: of the projection; 256 in SUPERB.
        steps: of Adam.
        lr: learning rate of Adam; 0.0001 in SUPERB, with 200,000 steps.
        batch_size: clips a step; 32 in SUPERB.
    """

    asks = Asks(reads="encoder", labels=True, draws=True, kinds=ENCODERS)

    def __init__(self, *, width: int = 256, steps: int = 1000, lr: float = 1e-3, batch_size: int = 32) -> None:
        above(0, width=width, steps=steps, lr=lr, batch_size=batch_size)
        self.width, self.steps, self.lr, self.batch_size = width, steps, lr, batch_size
        self.spec = (
            f"superb-v1: softmax-weighted layers, mean over time, projector {width}, linear; Adam {lr:g}, "
            f"{steps} steps of {batch_size}, gradients clipped at 1"
        )

    def applies(self, data: Data) -> bool:
        """Whether the data has classes."""
        return data.labels is not None

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        labels = frozen.data.labels
        assert labels is not None
        if "layers" not in frozen.encoder.can:
            return {}
        count = layer_count(frozen)
        sides = [pooled_layers(frozen, ids[labels[ids] >= 0], count) for ids in (frozen.train, frozen.test)]
        (train_x, train_ids), (test_x, test_ids) = sides
        mean, std = train_x.mean(0), train_x.std(0).clamp(min=1e-6)
        head = self._fit((train_x - mean) / std, labels[train_ids].long(), train_ids, frozen.seed)
        with torch.no_grad():
            guess = head((test_x - mean) / std).argmax(1)
        return {"accuracy": (guess == labels[test_ids]).float().mean().item()}

    def _fit(self, x_NLD: Tensor, y_N: Tensor, ids_N: Tensor, seed: int) -> WeightedLayers:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = WeightedLayers(x_NLD.shape[1], x_NLD.shape[2], self.width, int(y_N.max()) + 1)
        adam = torch.optim.Adam(head.parameters(), lr=self.lr)
        size = min(self.batch_size, len(x_NLD))
        a_round = len(x_NLD) // size
        for step in range(self.steps):
            if step % a_round == 0:
                order = shuffled(ids_N, seed, view=10 + step // a_round)
            rows = order[step % a_round * size :][:size]
            adam.zero_grad()
            F.cross_entropy(head(x_NLD[rows]), y_N[rows]).backward()
            nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            adam.step()
        return head
