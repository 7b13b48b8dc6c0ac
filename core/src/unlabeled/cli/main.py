"""Entry: which command is meant, and what becomes of errors.

Exit codes: 0 done, 1 failure (of ours with its traceback), 2 a user's mistake (one clear line), 130 interrupted.
"""

import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from unlabeled.errors import RunError, UsageError, near
from unlabeled.plugins.registry import registry, use_files
from unlabeled.plugins.words import Component

# command: (arguments, summary); its function is NAME_command of the file of its name, which may have flags(domain) too
GLOBAL = {
    "list": ("[DOMAIN] [--json] [--markdown]", "what is installed, and what is broken"),
    "recipes": ("[DOMAIN] [--json]", "known-good compositions, one per paper"),
    "matrix": ("[--json]", "which objectives run in which domain, and what others lack"),
    "report": ("RUN [RUN ...]", "one HTML page over one run or several"),
    "plugin": ("new NAME | check NAME", "write a plugin, or check one"),
}
IN_DOMAIN = {
    "pretrain": ("[RECIPE] --data PATH --out RUN", "train an encoder without labels"),
    "probe": ("RUN --data PATH", "frozen-feature numbers beside their baselines"),
    "finetune": ("RUN --data PATH", "train weights on labels, beside from-scratch; --out keeps the model"),
    "predict": ("RUN --data PATH --out FILE", "classes by a run with a head, as .csv, .jsonl or .parquet"),
    "embed": ("RUN --data PATH --out FILE", "features as .npz or .parquet"),
    "export": ("RUN --to native|onnx", "weights that load without this project"),
    "preview": ("[RECIPE] --data PATH --out FILE.png", "a picture of the views and masks"),
}
EXAMPLES = """\
unlabeled vision pretrain simclr --data photos/ --out runs/first
unlabeled vision probe runs/first --data labeled/
unlabeled vision pretrain simclr --objective.temperature 0.2 --print-config"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its warnings speak to those who call it themselves
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # of the tensors of a file, in the midst of our lines
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
        return _call(first, "", rest)
    if first.startswith("-"):
        raise UsageError(f"unknown flag {first}: the command comes first. See unlabeled --help")
    if first not in registry().domains and first not in registry().broken:
        raise UsageError(f"unknown command or domain {first!r}.{near(first, (*GLOBAL, *registry().domains))}")
    return in_domain(first, rest)


def in_domain(domain: str, words: Sequence[str]) -> int:
    """Call a command of ``domain``."""
    registry().domain(domain)
    if not words or words[0] in ("-h", "--help", "help"):
        print(domain_help(domain))
        return 0
    name, *rest = words
    own = {row.name: row for row in registry().components(domain, "command")}
    if name in own:
        from unlabeled.cli.command import run

        return run(own[name], domain, rest)
    if name not in IN_DOMAIN:
        raise UsageError(f"unknown command {name!r} of {domain}.{near(name, (*IN_DOMAIN, *own))}")
    return _call(name, domain, rest)


def _call(name: str, domain: str, words: Sequence[str]) -> int:
    from unlabeled.cli.command import run

    module = import_module(f"unlabeled.cli.{name}")
    row = Component(kind="command", name=name, target=f"{module.__name__}:{name}_command", summary="")
    return run(row, domain, words, module.flags(domain) if hasattr(module, "flags") else ())


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
        _table("commands", _rows(GLOBAL)),
        _table("domains", domains + broken) if domains or broken else "domains: none; pip install unlabeled-vision",
        _table("commands of a domain", _rows(IN_DOMAIN)),
        "everywhere:\n  --plugin FILE   load a plugin from a Python file\n  --version   --help",
        "examples:\n" + "\n".join("  " + line for line in EXAMPLES.splitlines()),
    ]
    return "\n\n".join(parts)


def domain_help(domain: str) -> str:
    """What ``unlabeled vision --help`` prints."""
    row = registry().domain(domain)
    own = [(command.name, command.summary) for command in registry().components(domain, "command")]
    return "\n\n".join(
        [
            f"usage: unlabeled {domain} COMMAND ...",
            f"{row.summary}; one sample: {row.sample}",
            _table("commands", _rows({n: said for n, said in IN_DOMAIN.items() if n not in dict(own)}) + own),
            f"see also: unlabeled list {domain}, unlabeled recipes {domain}, "
            f"unlabeled {domain} pretrain [RECIPE] --help",
        ]
    )


def _rows(commands: Mapping[str, tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f"{name} {arguments}", summary) for name, (arguments, summary) in commands.items()]


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    width = max(len(left) for left, _ in rows)
    return "\n".join([f"{title}:", *(f"  {left:<{width}}  {right}" for left, right in rows)])
