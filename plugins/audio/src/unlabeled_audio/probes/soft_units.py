"""Who speaks and what is said, told from soft units, from the features they are made of, and from rounded units.

Soft-VC, https://arxiv.org/abs/2111.02392, wants units that keep the content and lose the speaker: hard ones lose both,
features keep both. Means over a clip of a run of recipe ``soft_units``, under standardized logistic regression, C = 1.

    # N clips, T rows, W numbers of a soft unit, V units
"""

import torch
from torch import Tensor

from unlabeled.contract import Asks, Data
from unlabeled.nn.heads import unit
from unlabeled.probes.frozen import Frozen
from unlabeled_audio.probes.speakers import STEPS, logistic, speakers_of
from unlabeled_audio.tokenizers.heads import soft_units_of


class SoftUnits:
    """Accuracy of speaker and class from means of features, of soft units, and of the counts of rounded ones."""

    asks = Asks(reads="encoder", kinds=("pre-trained",))
    spec = (
        "soft_units-v1: means over the clip of features, of soft units and of the nearest units one-hot; standardized, "
        f"L2 logistic regression with C 1, {STEPS} steps, on the data's split; of runs of recipe soft_units alone"
    )

    def applies(self, data: Data) -> bool:
        """Whether the data names speakers."""
        return speakers_of(data) is not None

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        head = None if frozen.run is None else soft_units_of(frozen.run)
        if head is None:
            return {}
        speakers, labels = speakers_of(frozen.data), frozen.data.labels
        assert speakers is not None
        truths = {"speaker": speakers} | ({} if labels is None else {"class": labels})
        (train, train_ids), (test, test_ids) = (self._means(frozen, ids, *head) for ids in (frozen.train, frozen.test))
        found = {}
        for what, y in truths.items():
            a, b = y[train_ids] >= 0, y[test_ids] >= 0
            for name in train:
                sides = train[name][a], y[train_ids][a], test[name][b], y[test_ids][b]
                found[f"{what}_from_{name}"] = logistic(*sides)
        return found

    def _means(
        self, frozen: Frozen, ids: Tensor, project: torch.nn.Linear, units_VW: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """``[N, D]``, ``[N, W]`` and ``[N, V]`` of the clips ``ids`` that can be read, and their ids."""
        rows: dict[str, list[Tensor]] = {"features": [], "soft": [], "units": []}
        kept = []
        for batch, _, features in frozen.encode(ids):
            x = features.tokens.float()
            with torch.no_grad():
                soft = project.to(x.device)(x)
            hard = (unit(soft) @ unit(units_VW.to(x.device)).T).argmax(1)
            counts = torch.nn.functional.one_hot(hard, len(units_VW)).float()
            for name, values in (("features", x), ("soft", soft), ("units", counts)):
                rows[name].append(features.layout.mean(values).cpu())
            kept.append(batch.ids.cpu())
        return {name: torch.cat(parts) for name, parts in rows.items()}, torch.cat(kept)
