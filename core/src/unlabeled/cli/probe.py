"""``unlabeled <domain> probe RUN``: numbers of frozen features, beside their baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlabeled.contract import Data
    from unlabeled.probes.table import Table
    from unlabeled.runs.launch import Say
    from unlabeled.runs.pretrained import Pretrained


def probe_command(
    run: Pretrained,
    data: Data,
    say: Say,
    *,
    probes: tuple[str, ...] = (),
    baselines: tuple[str, ...] = (),
    quick: bool = False,
    seeds: tuple[int, ...] = (0, 1, 2),
    folds: int = 0,
    batch_size: int = 256,
    workers: int = 0,
    device: str = "auto",
    keep: bool = False,
) -> Table:
    """Frozen features of a run beside chance, a no-model baseline and the untrained encoder; probes.json.

    Args:
        probes: names of those that are asked, knn,linear; empty = all.
        baselines: names of the rows beside the encoder, untrained among them; none = no row; empty = all.
        quick: one seed or fold, all labels, the probes of features, without choosing C, and the default baseline.
        seeds: of splits, label subsets and untrained weights.
        folds: each the test once, instead of seeds; groups stay whole. 0 = the data's own folds, where it has them.
        batch_size: samples per forward pass.
        workers: processes that read data.
        device: auto, cpu, cuda, cuda:1, ...
        keep: write the linear head of all labels into the run folder, for predict.
    """
    from unlabeled import api

    part: dict[str, Any] = {"probes": probes, "baselines": baselines, "quick": quick, "seeds": seeds, "folds": folds}
    part |= {"batch_size": batch_size, "workers": workers, "device": device, "keep": keep}
    return api.probe(run, data, **part, say=say)
