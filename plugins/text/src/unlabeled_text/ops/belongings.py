"""What belongs to a model of transformers: the tokenizer in its folder, or of its name on the hub. Imports no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def of_model(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of data that model ``name`` reads: nothing for random weights, which take any tokenizer."""
    if settings.get("config"):
        return {}
    if (Path(name) / "tokenizer.json").is_file():
        return {"tokenizer": name}
    return {"tokenizer": f"hf://{name}"} if settings.get("pretrained") and not Path(name).is_dir() else {}
