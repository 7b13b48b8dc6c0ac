"""``unlabeled <domain> pretrain``: everything is checked before any folder is made, then the run trains."""

import sys
from pathlib import Path

from unlabeled.cli.compose import Composed
from unlabeled.errors import UsageError


def pretrain_command(
    composed: Composed,
    *,
    out: Path | None = None,
    print_config: bool = False,
    resume: bool = False,
    overwrite: bool = False,
) -> int:
    """Train an encoder without labels. A recipe is a known-good composition; flags change it.

    Another component has other settings: --objective vicreg --help shows those of vicreg.
    unlabeled recipes lists the recipes, unlabeled list the components.

    Args:
        out: the run folder; runs/<domain>-<recipe>-<n> if not given.
        print_config: print the complete config and stop, before any work.
        resume: go on with the run in --out.
        overwrite: delete the run in --out first.
    """
    config = composed.checked()
    if print_config:
        print(config.to_yaml(), end="")
        return 0
    from unlabeled.runs.launch import start

    if resume and out is None:
        raise UsageError("--resume needs --out RUN, the run to go on with")
    result = start(config, out, resume=resume, overwrite=overwrite, chosen=composed.chosen, say=_say)
    if result.rank:
        return 0
    if result.interrupted:
        again = f"unlabeled {config.domain} pretrain --resume --out {result.out}"
        print(f"stopped at step {result.steps}; the state is saved: {again}", file=sys.stderr)
        return 130
    _say(_after(config.domain, result.out))
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stdout, flush=True)


def _after(domain: str, out: Path) -> str:
    return (
        f"saved {out}/{{config.yaml, metrics.jsonl, checkpoints/, encoder/}}\n"
        f"next: unlabeled {domain} probe {out}    how good the features are, beside their baselines\n"
        f"      unlabeled {domain} export {out} --to native    weights that load without this project"
    )
