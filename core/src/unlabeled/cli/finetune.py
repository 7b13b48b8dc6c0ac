"""``unlabeled <domain> finetune RUN``: weights trained on labels, beside the same from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unlabeled.cli.flags import Flag

if TYPE_CHECKING:
    from unlabeled.contract import Data
    from unlabeled.runs.finetune import Finetune, Outcome
    from unlabeled.runs.launch import Say
    from unlabeled.runs.pretrained import Pretrained


def flags(domain: str) -> list[Flag]:
    """``--lora.rank``, as it is spelled."""
    text = "rank of adapters that learn in place of Linear layers' weights, merged in at the end; 0 = none"
    return [Flag("lora.rank", int, text, 0, ("settings", "lora_rank"))]


def finetune_command(run: Pretrained, data: Data, say: Say, settings: Finetune) -> Outcome:
    """Weights trained on the labels or targets of the data, from the run's encoder and from scratch; finetune.json.

    With --out the tuned model is kept, and predict, embed, probe and export take it.
    """
    from unlabeled import api

    outcome: Outcome = api.finetune(run, data, say=say, **vars(settings))
    return outcome
