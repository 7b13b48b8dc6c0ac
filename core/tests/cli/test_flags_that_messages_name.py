"""A message names only flags that some command has, and messages of data only those of every command that reads it."""

import ast
import re
from pathlib import Path

import unlabeled
from unlabeled.cli.command import Form, data_flags
from unlabeled.plugins.words import Component

SOURCES = Path(unlabeled.__file__).parent


def named(path):
    """Flags of the strings of a source that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
    texts = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    words = [text.value for text in texts if id(text) not in docs]
    return {flag for word in words for flag in re.findall(r"(?<![\w-])--([a-z][a-z-]*[a-z])(?![\w.{-])", word)}


def test_messages_of_reading_name_flags_of_every_command_that_reads(toy):
    flags = {name for path in (SOURCES / "data").rglob("*.py") for name in named(path)}
    assert "max-bad" in flags
    for command in ("probe", "embed", "finetune"):
        row = Component(kind="command", name=command, target=f"unlabeled.cli.{command}:{command}_command", summary="")
        form = Form(row, "toy")
        known = {flag.name for flag in [*form.flags, *data_flags(form, [])]}
        assert flags <= known, (command, flags - known)
