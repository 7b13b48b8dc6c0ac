"""Entry: which command is meant, and what becomes of errors.

Exit codes: 0 done, 1 failure (of ours with its traceback), 2 a user's mistake (one clear line), 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module

from unlabeled.errors import RunError, UsageError, near
from unlabeled.plugins.registry import registry, resolve, use_files

# command: (module, function, arguments, summary)
GLOBAL = {
    "list": ("listing", "list_command", "[DOMAIN] [--json] [--markdown]", "what is installed, and what is broken"),
    "recipes": ("listing", "recipes_command", "[DOMAIN] [--json]", "known-good compositions, one per paper"),
    "report": ("after", "report_command", "RUN [RUN ...]", "one HTML page over one run or several"),
    "plugin": ("author", "plugin_command", "new NAME | check NAME", "write a plugin, or check one"),
}
IN_DOMAIN = {
    "pretrain": ("pretrain", "pretrain_command", "[RECIPE] --data PATH --out RUN", "train an encoder without labels"),
    "probe": ("after", "probe_command", "RUN --data PATH", "frozen-feature numbers beside their baselines"),
    "finetune": ("after", "finetune_command", "RUN --data PATH", "train all weights on labels, beside from-scratch"),
    "embed": ("after", "embed_command", "RUN --data PATH --out FILE", "features as .npz or .parquet"),
    "export": ("after", "export_command", "RUN --to native|onnx", "weights that load without this project"),
    "preview": ("after", "preview_command", "[RECIPE] --data PATH --out FILE.png", "a picture of the views and masks"),
}
EXAMPLES = """\
unlabeled vision pretrain simclr --data photos/ --out runs/first
unlabeled vision probe runs/first --data labeled/
unlabeled vision pretrain simclr --objective.temperature 0.2 --print-config"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = dispatch(words)
        sys.stdout.flush()
        return code
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader (head, less) has gone: point stdout away, so that the interpreter's last flush is silent
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception:  # noqa: BLE001 - the last stop: a failure of ours is shown whole
        traceback.print_exc()
        return 1


def script(domain: str) -> Callable[[], int]:
    """The console script of a plugin: ``unlabeled-vision ...`` is ``unlabeled vision ...``."""
    return lambda: main([domain, *sys.argv[1:]])


def dispatch(words: list[str]) -> int:
    """Find the command that ``words`` name, and call it with the rest."""
    words, files = take_plugins(words)
    use_files(files)
    if words[:1] == ["--version"]:
        return _version()
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    first, *rest = words
    if first in GLOBAL:
        return _call(GLOBAL[first], [], rest)
    if first.startswith("-"):
        raise UsageError(f"unknown flag {first}: the command comes first. See unlabeled --help")
    if first not in registry().domains and first not in registry().broken:
        raise UsageError(f"unknown command or domain {first!r}.{near(first, (*GLOBAL, *registry().domains))}")
    registry().domain(first)
    if not rest or rest[0] in ("-h", "--help", "help"):
        print(domain_help(first))
        return 0
    own = {row.name: row for row in registry().components(first, "command")}
    if rest[0] in own:
        return resolve(own[rest[0]])(first, rest[1:])
    if rest[0] not in IN_DOMAIN:
        raise UsageError(f"unknown command {rest[0]!r} of {first}.{near(rest[0], (*IN_DOMAIN, *own))}")
    return _call(IN_DOMAIN[rest[0]], [first], rest[1:])


def _call(entry: tuple[str, str, str, str], before: list[str], words: list[str]) -> int:
    command: Callable[..., int] = getattr(import_module(f"unlabeled.cli.{entry[0]}"), entry[1])
    return command(*before, words)


def take_plugins(words: list[str]) -> tuple[list[str], list[str]]:
    """``words`` without ``--plugin FILE``, and the files."""
    rest, files = [], []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word == "--plugin":
            if not queue:
                raise UsageError("--plugin needs a value: the Python file of a plugin")
            files.append(queue.pop(0))
        elif word.startswith("--plugin="):
            files.append(word.partition("=")[2])
        else:
            rest.append(word)
    return rest, files


def _version() -> int:
    import unlabeled

    plugins = [d for n, d in sorted(registry().versions.items())]
    print(f"unlabeled {unlabeled.__version__}" + (f" ({', '.join(plugins)})" if plugins else ""))
    return 0


def help_text() -> str:
    """What ``unlabeled --help`` prints."""
    domains = [(name, domain.summary) for name, domain in sorted(registry().domains.items())]
    broken = [(name, f"broken: {b}") for name, b in sorted(registry().broken.items())]
    parts = [
        "usage: unlabeled COMMAND ...  or  unlabeled DOMAIN COMMAND ...",
        "Self-supervised pre-training in every modality, with honest numbers.",
        _table("commands", [(f"{name} {e[2]}", e[3]) for name, e in GLOBAL.items()]),
        _table("domains", domains + broken) if domains or broken else "domains: none; pip install unlabeled-vision",
        _table("commands of a domain", [(f"{name} {e[2]}", e[3]) for name, e in IN_DOMAIN.items()]),
        "everywhere:\n  --plugin FILE   load a plugin from a Python file\n  --version   --help",
        "examples:\n" + "\n".join("  " + line for line in EXAMPLES.splitlines()),
    ]
    return "\n\n".join(parts)


def domain_help(domain: str) -> str:
    """What ``unlabeled vision --help`` prints."""
    row = registry().domain(domain)
    rows = [(f"{name} {e[2]}", e[3]) for name, e in IN_DOMAIN.items()]
    rows += [(command.name, command.summary) for command in registry().components(domain, "command")]
    return "\n\n".join(
        [
            f"usage: unlabeled {domain} COMMAND ...",
            f"{row.summary}; one sample: {row.sample}",
            _table("commands", rows),
            f"see also: unlabeled list {domain}, unlabeled recipes {domain}, "
            f"unlabeled {domain} pretrain [RECIPE] --help",
        ]
    )


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    width = max(len(left) for left, _ in rows)
    return "\n".join([f"{title}:", *(f"  {left:<{width}}  {right}" for left, right in rows)])
