"""``unlabeled <domain> pretrain``: everything is checked before any folder is made, then the run trains."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from unlabeled.cli.compose import RUN, Composed, compose
from unlabeled.cli.flags import Flag, render
from unlabeled.errors import UsageError

OWN = (
    Flag("out", str, "the run folder; runs/<domain>-<recipe>-<n> if not given", group=RUN, metavar="RUN"),
    Flag("config", str, "a run's config.yaml to repeat; flags go on top", group=RUN, metavar="FILE"),
    Flag("print-config", bool, "print the complete config and stop, before any work", False, group=RUN),
    Flag("resume", bool, "go on with the run in --out", False, group=RUN),
    Flag("overwrite", bool, "delete the run in --out first", False, group=RUN),
)
NOTES = """\
Another component has other settings: --objective vicreg --help shows those of vicreg.
unlabeled recipes lists the recipes, unlabeled list the components."""


def pretrain_command(domain: str, words: Sequence[str]) -> int:
    """Train an encoder, or print what would be trained."""
    asked = compose(domain, [w for w in words if w not in ("-h", "--help")], OWN)
    if "-h" in words or "--help" in words:
        return _help(domain, asked)
    config = asked.checked()
    if asked.typed["print-config"]:
        print(config.to_yaml(), end="")
        return 0
    from unlabeled.runs.launch import start

    typed = asked.typed
    if typed["resume"] and typed["out"] is None:
        raise UsageError("--resume needs --out RUN, the run to go on with")
    result = start(
        config,
        None if typed["out"] is None else Path(typed["out"]),
        resume=bool(typed["resume"]),
        overwrite=bool(typed["overwrite"]),
        chosen=asked.chosen,
        say=_say,
    )
    if result.rank:
        return 0
    if result.interrupted:
        again = f"unlabeled {domain} pretrain --resume --out {result.out}"
        print(f"stopped at step {result.steps}; the state is saved: {again}", file=sys.stderr)
        return 130
    _say(_after(domain, result.out))
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stdout, flush=True)


def _help(domain: str, asked: Composed) -> int:
    flags = [asked.flags[0], *OWN, *asked.flags[1:]]
    summary = "Train an encoder without labels. A recipe is a known-good composition; flags change it."
    print(
        render(f"unlabeled {domain} pretrain [RECIPE] [--data PATH] [--out RUN] [flags]", summary, flags, notes=NOTES)
    )
    return 0


def _after(domain: str, out: Path) -> str:
    return (
        f"saved {out}/{{config.yaml, metrics.jsonl, checkpoints/, encoder/}}\n"
        f"next: unlabeled {domain} probe {out}    how good the features are, beside their baselines\n"
        f"      unlabeled {domain} export {out} --to native    weights that load without this project"
    )
