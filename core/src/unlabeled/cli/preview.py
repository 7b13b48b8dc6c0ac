"""``unlabeled <domain> preview [RECIPE]``: what an objective will see, as a picture."""

from pathlib import Path
from typing import Any

from unlabeled.cli.compose import Composed
from unlabeled.cli.flags import Flag, normal
from unlabeled.config.settings import signature
from unlabeled.runs.preview import draw, preview_of


def flags(domain: str) -> list[Flag]:
    """The flags of the domain's preview, but for ``--seed``, which is the run's."""
    found = signature(preview_of(domain)).settings
    return [Flag(normal(s.name), s.type, s.help, s.default) for s in found if s.name != "seed"]


def preview_command(composed: Composed, *, out: Path | None = None, **given: Any) -> str:
    """A picture of what the objective will see.

    Args:
        out: the picture to write; preview.png if not given.
    """
    return f"saved {draw(composed.checked(), out or Path('preview.png'), given)}"
