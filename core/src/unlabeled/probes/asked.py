"""What is asked of a probe table, and whether the data's labels and targets are what they must be."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unlabeled.contract import Data, Targets
from unlabeled.errors import UsageError, near

NONE = "none"


@dataclass(frozen=True)
class Chosen:
    """A part of a probe table.

    Args:
        probes: names of those that are asked; empty = all.
        baselines: rows beside the pre-trained one, ``untrained`` among them; ``none`` = no row; empty = all.
        quick: one seed or fold, all labels, the probes of features, the domain's default baseline.
        cache: a folder in the run's own, in which features are kept; None = they are not.
    """

    probes: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    quick: bool = False
    cache: Path | None = None


def named(kind: str, domain: str, wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """``wanted`` in the order of ``known``, all for none; ``UsageError`` with the near ones for a name not known."""
    wrong = [name for name in wanted if name not in known]
    if wrong:
        raise UsageError(
            f"domain {domain!r} has no {kind} {wrong[0]!r}.{near(wrong[0], known)} It has: {', '.join(known)}"
        )
    return [name for name in known if name in wanted or not wanted]


def targets_of(data: Data) -> Targets | None:
    """The targets of a data set, where it has any."""
    return getattr(data, "targets", None)


def check_labels(data: Data) -> None:
    """``UsageError`` where ``labels`` are not one whole number a sample."""
    y = data.labels
    if y is None:
        return
    right = "labels are one class a sample, int64[N], -1 = unknown"
    if y.ndim != 1 or len(y) != len(data):
        raise UsageError(
            f"{data.describe()}: labels have shape {[*y.shape]} for {len(data)} samples; {right}. Several labels or "
            f"numbers a sample are targets: Targets(values[N, K], names, kind)"
        )
    if y.is_floating_point() or y.is_complex():
        shown = ", ".join(f"{value:g}" for value in y[:3].tolist()) if y.is_floating_point() else str(y.dtype)
        raise UsageError(
            f"{data.describe()}: labels are {str(y.dtype).removeprefix('torch.')} ({shown}, ...); {right}. Numbers to "
            f"be predicted are targets: Targets(values[N, 1], names, 'regression')"
        )


def check_targets(data: Data) -> None:
    """``UsageError`` where ``targets`` are not a number a sample and task."""
    found = targets_of(data)
    if found is None:
        return
    values, what = found.values, data.describe()
    if values.ndim != 2 or [*values.shape] != [len(data), len(found.names)]:
        raise UsageError(
            f"{what}: targets have shape {[*values.shape]}; {len(data)} samples with {len(found.names)} names need "
            f"{[len(data), len(found.names)]}"
        )
    known = values[~values.isnan()]
    if known.isinf().any():
        raise UsageError(f"{what}: {int(known.isinf().sum())} targets are infinite; one that is unknown is NaN")
    if found.kind == "multilabel" and not ((known == 0) | (known == 1)).all():
        odd = known[(known != 0) & (known != 1)][0].item()
        raise UsageError(f"{what}: a target is {odd:g}; of kind multilabel each is 0, 1 or NaN for unknown")
