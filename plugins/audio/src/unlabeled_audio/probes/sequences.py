"""Classes and callers from sequences of units: for data whose meaning lies in order, such as animal calls.

https://arxiv.org/abs/2511.10190: frames become tokens by vector quantization or Gumbel softmax quantization, k nearest
neighbours by edit distance tell call type and caller, and pairwise distances whether clips of one are nearer than those
of two. Both are learned on frames of train. Differs: the vector quantizer's codebook is that of k-means.

    # T frames, D features, V units, M clips of test, N of train, U units of a clip
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from unlabeled.contract import Asks, Data
from unlabeled.draw import Draw, Purpose
from unlabeled.errors import above
from unlabeled.nn.chance import draw_at
from unlabeled.nn.codebooks import GumbelProduct, gumbel_noise
from unlabeled.nn.kmeans import nearest
from unlabeled.probes.frozen import Frozen
from unlabeled_audio.probes.frames import ENCODERS, frames_of
from unlabeled_audio.probes.speakers import speakers_of
from unlabeled_audio.probes.units import cluster, edit_distances, without_repeats

WIDTH, ROWS, RATE = 64, 512, 3e-3  # of codes; frames a step, and the rate, of what learns them
Tell = Callable[[Tensor], Tensor]


def k_means(x_TD: Tensor, count: int, seed: int) -> Tell:
    """The nearest of ``count`` centers."""
    centers = cluster(x_TD, count, seed)
    return lambda x: nearest(x, centers)


def gumbel_codes(x_TD: Tensor, count: int, seed: int, steps: int) -> Tell:
    """The code that a Gumbel softmax has learned to choose, so that a linear map restores a standardized frame."""
    mean, scale = x_TD.mean(0), x_TD.std(0).clamp(min=1e-4)
    dim, size = x_TD.shape[1], min(ROWS, len(x_TD))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        quantizer, restore = GumbelProduct(dim, width=WIDTH, groups=1, entries=count), nn.Linear(WIDTH, dim)
    adam, row = torch.optim.Adam([*quantizer.parameters(), *restore.parameters()], lr=RATE), torch.arange(size)
    for step in range(steps):
        draw = draw_at(torch.tensor(step), torch.tensor([seed]))
        x = (x_TD[draw.integers(size, Purpose.ENTRY, len(x_TD))[0]] - mean) / scale
        quantizer.anneal(step, 2.0, 0.5, 0.25 ** (1 / steps))
        codes = quantizer(x, gumbel_noise(draw, torch.zeros_like(row), row, count))[0]
        adam.zero_grad()
        (restore(codes) - x).square().mean().backward()
        adam.step()

    @torch.no_grad()
    def tell(x: Tensor) -> Tensor:
        ids: Tensor = quantizer((x - mean) / scale)[1][:, 0]
        return ids

    return tell


def distances(some: Sequence[Tensor], many: Sequence[Tensor]) -> Tensor:
    """``[M, N]``: edit distances of unit sequences over the longer length."""
    sizes = torch.tensor([len(m) for m in many])
    return torch.stack([edit_distances(one, many) / sizes.clamp(min=len(one)) for one in some])


def vote(distance_MN: Tensor, y_N: Tensor, k: int) -> Tensor:
    """``int64[M]``: what most of the k nearest are, the nearest of those in ties."""
    near = y_N[torch.argsort(distance_MN, dim=1, stable=True)[:, :k]]
    votes = torch.nn.functional.one_hot(near, int(y_N.max()) + 1).sum(1)
    tied = votes.gather(1, near) == votes.amax(1, keepdim=True)
    return near.gather(1, tied.int().argmax(1, keepdim=True))[:, 0]


def nearer(distance_MN: Tensor, same_MN: Tensor) -> float:
    """The share of pairs of one kind that are nearer than pairs of two; ties count half, and 0.5 is chance."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(same_MN.flatten(), -distance_MN.flatten())) if 0 < same_MN.float().mean() < 1 else 0.5


class TokenSequence:
    """Nearest neighbours, and pairwise distances, by edit distance between unit sequences.

    Args:
        count: units, V.
        k: neighbours that vote.
        most: clips of train that are compared with, and of test that are scored.
        steps: of what learns the Gumbel softmax.
    """

    asks = Asks(reads="encoder", kinds=ENCODERS)

    def __init__(self, *, count: int = 50, k: int = 5, most: int = 300, steps: int = 300) -> None:
        above(1, count=count)
        above(0, k=k, most=most, steps=steps)
        self.count, self.k, self.most, self.steps = count, k, most, steps
        self.spec = (
            f"token_sequence-v2: {count} units by k-means, and by a Gumbel softmax that restores standardized frames, "
            f"{steps} steps of Adam; repeats taken out; {k} nearest of {most} clips by edit distance over the longer "
            "length, nearest first in ties; nearer: share of pairs of one class that are nearer than pairs of two"
        )

    def applies(self, data: Data) -> bool:
        """Whether the data has classes or names speakers."""
        return data.labels is not None or speakers_of(data) is not None

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        labels, callers = frozen.data.labels, speakers_of(frozen.data)
        truths = {"": labels, "caller_": callers}
        known = [y for y in truths.values() if y is not None]
        sides = [self._some(ids[torch.stack([y[ids] >= 0 for y in known]).any(0)], frozen.seed)
                 for ids in (frozen.train, frozen.test)]  # fmt: skip
        (frames, _, train), (_, _, test) = (frames_of(frozen, side) for side in sides)
        found: dict[str, float] = {}
        for name, tell in self._quantizers(frames, frozen.seed).items():
            far = distances(*([without_repeats(tell(x)) for x in clips] for clips in (test, train)))
            for what, y in truths.items():
                if y is not None:
                    found |= {f"{what}{n}{name}": v for n, v in self._scores(far, y, sides).items()}
        return found

    def _quantizers(self, frames: Tensor, seed: int) -> dict[str, Tell]:
        return {
            "": k_means(frames, self.count, seed),
            "_gumbel": gumbel_codes(frames, self.count, seed, self.steps),
        }

    def _scores(self, far_MN: Tensor, y: Tensor, sides: Sequence[Tensor]) -> dict[str, float]:
        """Accuracy of the vote, and how much nearer pairs of one kind are, where ``y`` is known."""
        train, test = (y[side].long() for side in sides)
        far, train, test = far_MN[test >= 0][:, train >= 0], train[train >= 0], test[test >= 0]
        right = (vote(far, train, self.k) == test).float().mean().item()
        return {"accuracy": right, "nearer": nearer(far, test[:, None] == train)}

    def _some(self, ids: Tensor, seed: int) -> Tensor:
        key = Draw(seed, 0, ids).words(1, Purpose.SPLIT)[:, 0]
        return ids[torch.argsort(key)[: self.most].sort().values]
