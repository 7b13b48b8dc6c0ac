"""Quality of discrete units: k-means of an encoder's frames, judged by classes and under noise.

``units``: purity and PNMI (HuBERT, https://arxiv.org/abs/2106.07447, section 4.1, with a clip's class in place of the
phone), the units in use (perplexity), and the unit edit distance under noise, pitch shift, reverberation and time
stretch (https://arxiv.org/abs/2209.15483).
k-means is fitted on frames of train.

    # T frames, V units, N clips, U units of a clip
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Asks, View
from unlabeled.draw import Draw
from unlabeled.errors import above
from unlabeled.nn.kmeans import nearest
from unlabeled.probes.frozen import Frozen
from unlabeled_audio.probes.frames import ENCODERS, frames_of
from unlabeled_audio.views.augment import Augment, paced

CHANGES = ("noise", "pitch", "reverb", "stretch")
PACE = 1.25  # of a stretched clip; its length over the clip's


def cluster(x_TD: Tensor, count: int, seed: int) -> Tensor:
    """``[V, D]``: centers of k-means."""
    from sklearn.cluster import MiniBatchKMeans

    count = min(count, len(x_TD))
    found = MiniBatchKMeans(count, n_init=3, batch_size=4096, random_state=seed).fit(x_TD.numpy())
    return torch.from_numpy(found.cluster_centers_).float()


def purity(ids_T: Tensor, y_T: Tensor) -> tuple[float, float]:
    """Share of frames that their unit's most frequent class names, and information on the class over its entropy."""
    joint = torch.bincount(ids_T * (int(y_T.max()) + 1) + y_T).double()
    table = torch.nn.functional.pad(joint, (0, -len(joint) % (int(y_T.max()) + 1))).view(-1, int(y_T.max()) + 1)
    p = table / table.sum()
    entropy = -torch.special.xlogy(p.sum(0), p.sum(0)).sum()
    outer = p.sum(1, keepdim=True) * p.sum(0)
    information = torch.special.xlogy(p, p).sum() - torch.special.xlogy(p, outer).sum()
    return float(p.max(1).values.sum()), float(information / entropy) if entropy > 0 else 0.0


def without_repeats(ids_U: Tensor) -> Tensor:
    """The units of one clip, each run of equal ones once."""
    return torch.unique_consecutive(ids_U)


def edit_distances(one_U: Tensor, many: Sequence[Tensor]) -> Tensor:
    """Levenshtein distance of one sequence from each of many: ``[N]``.

    A row of the table at once for all of them: with deletions and substitutions known, insertions along the row are a
    running minimum of the value less its place.
    """
    longest = max(len(m) for m in many)
    padded = torch.nn.utils.rnn.pad_sequence(list(many), batch_first=True, padding_value=-1)
    place = torch.arange(longest + 1)
    row = place.expand(len(many), -1).clone()
    for number, unit in enumerate(one_U.tolist(), start=1):
        best = torch.minimum(row[:, 1:] + 1, row[:, :-1] + (padded != unit))
        best = torch.cat((torch.full((len(many), 1), number), best), dim=1)
        row = torch.cummin(best - place, dim=1).values + place
    return row[torch.arange(len(many)), torch.tensor([len(m) for m in many])]


def relative_distance(clean_U: Tensor, other_U: Tensor) -> float:
    """Edit distance of two clips' units, repeats taken out, over the clean one's number."""
    a, b = without_repeats(clean_U), without_repeats(other_U)
    return float(edit_distances(a, [b])[0]) / len(a)


def altered(view: View, spec: Any, kind: str, snr: float, seed: int) -> View:
    """The clip under white to brown ``noise`` at ``snr`` dB, four semitones of ``pitch``, in a room, or slower."""
    batch: Any = view.batch
    if kind == "stretch":
        return replace(view, batch=paced(replace(batch, mel=None), Draw(seed, 0, batch.ids), 1.0, (PACE, PACE), 0)[0])
    strength: dict[str, Any] = {
        "noise": {"noise": 1.0, "snr": (snr, snr)},
        "pitch": {"pitch": 1.0, "semitones": 4.0},
        "reverb": {"reverb": 1.0},
    }
    change = Augment(spec.longest, 1, spec.rate, **strength[kind])
    return replace(view, batch=change(replace(batch, mel=None), Draw(seed, 0, batch.ids))[0])


class Units:
    """Purity, PNMI and perplexity of k-means units, and how far noise, pitch shifts and reverberation change them.

    Args:
        count: units, V.
        most: frames of train that k-means sees, about.
        snr: of the noise that an edit distance is measured under, in dB.
    """

    asks = Asks(reads="encoder", labels=True, kinds=ENCODERS)

    def __init__(self, *, count: int = 100, most: int = 50000, snr: float = 15.0) -> None:
        above(1, count=count)
        above(0, most=most)
        self.count, self.most, self.snr = count, most, snr
        self.spec = (
            f"units-v3: k-means of {count} on {most} frames of train; purity and PNMI by the clip's class, perplexity, "
            f"edit distance over length from clean to {snr:g} dB noise, 4 semitones of pitch, reverberation, "
            f"{PACE:g} of the length, on test"
        )

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        labels = frozen.data.labels
        assert labels is not None
        centers = cluster(frames_of(frozen, frozen.train, self.most)[0], self.count, frozen.seed)
        test = frozen.test[labels[frozen.test] >= 0]
        ids, classes, clips, changed = [], [], 0, dict.fromkeys(CHANGES, 0.0)
        for batch, view, features in frozen.encode(test):
            found = nearest(features.tokens.float().cpu(), centers)
            ids.append(found)
            classes.append(labels[batch.ids.cpu()][features.layout.group.cpu()])
            clips += len(features.layout.lengths)
            for kind in CHANGES:
                other = frozen.encoder(altered(view, frozen.data.spec, kind, self.snr, frozen.seed))
                codes = nearest(other.tokens.float().cpu(), centers)
                pairs = zip(found.split(features.layout.lengths), codes.split(other.layout.lengths), strict=True)
                changed[kind] += sum(relative_distance(*pair) for pair in pairs)
        joined = torch.cat(ids)
        pure, information = purity(joined, torch.cat(classes).long())
        p = torch.bincount(joined).double() / len(joined)
        return {
            "purity": pure,
            "pnmi": information,
            "perplexity": float(torch.exp(-torch.special.xlogy(p, p).sum())),
            **{f"edit_distance_{kind}": total / max(1, clips) for kind, total in changed.items()},
        }
