"""What libraries warn of while a probe is taken or a command runs, in a line of ours that says what it means.

Warnings of other origin stay as they were.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LIBRARIES = ("sklearn", "scipy", "transformers", "huggingface_hub", "numpy")
MEANINGS = {
    "ConvergenceWarning": "its fit stopped before it converged, so the number may be a little low",
    "UndefinedMetricWarning": "a class that test does not have, or that is never guessed, counts as 0",
    "ConstantInputWarning": "what it compares is constant, so it has no correlation",
    "NearConstantInputWarning": "what it compares is nearly constant, so its correlation is uncertain",
    "DataConversionWarning": "its input was converted",
    "InconsistentVersionWarning": "it was saved by another version of scikit-learn",
}
SAID = (
    ("least populated class", "a class has fewer samples than folds, so folds lack it"),
    ("number of unique classes", "there are nearly as many classes as samples: is this a regression?"),
    ("not converge", MEANINGS["ConvergenceWarning"]),
    ("failed to converge", MEANINGS["ConvergenceWarning"]),
    ("distinct clusters", "features have fewer distinct points than it makes clusters: they may have collapsed"),
    ("single label", "test has one class alone, which it cannot tell from others"),
    ("only one class", "test has one class alone, which it cannot tell from others"),
    ("divide", "it divided by zero: a feature or a score is constant"),
    ("invalid value", "it met a value that is no number: a feature or a score is constant"),
    ("overflow", "features are too large for its arithmetic"),
)


def meaning(warning: warnings.WarningMessage) -> str | None:
    """What a library's warning means for a number; None for a warning of other origin."""
    text, kind = str(warning.message), warning.category
    origin = {kind.__module__.partition(".")[0], *warning.filename.replace("\\", "/").split("/")}
    if not origin & set(LIBRARIES):
        return None
    known = [said for part, said in SAID if part in text.lower()]
    return known[0] if known else MEANINGS.get(kind.__name__, f"a library warns: {' '.join(text.split())[:120]}")


@contextmanager
def in_our_words(name: str, notes: list[str]) -> Iterator[None]:
    """Warnings of libraries inside become lines of ``notes`` that begin with ``name``, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        said = meaning(warning)
        if said is None:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        elif (line := f"{name}: {said}") not in notes:
            notes.append(line)


@contextmanager
def spoken(name: str, say: Callable[[str], None]) -> Iterator[None]:
    """Warnings of libraries that would be shown inside are said at once instead, each line once."""
    told: set[str] = set()
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *more: Any) -> None:
            caught = warnings.WarningMessage(message, category, filename, lineno)
            said = meaning(caught)
            if said is None:
                shown(message, category, filename, lineno, *more)
            elif said not in told:
                told.add(said)
                say(f"{name}: {said}")

        warnings.showwarning = show  # type: ignore[assignment]
        yield
