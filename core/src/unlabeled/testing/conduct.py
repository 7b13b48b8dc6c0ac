"""The conduct suite: every law of :mod:`unlabeled.testing.laws` asked of every objective of a table, as pytest tests.

The whole test of a method that any encoder serves::

    @parametrize_conduct({"agree": Agree, "agree_wide": lambda encoder: Agree(encoder, width=16)})
    def test_conduct(objective, law):
        law(objective)
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from unlabeled.errors import UsageError, near
from unlabeled.testing.laws import LAWS, Found, MakeViews, Subject, descend
from unlabeled.testing.parametrize import Row, parametrize
from unlabeled.testing.ranks import load, run_ranks
from unlabeled.testing.toys import ToyEncoder, views_for

NAMES = tuple(law.__name__ for law in LAWS)


def toy_encoder(name: str) -> ToyEncoder:
    """The toy encoder, whatever the objective's name."""
    return ToyEncoder()


def parametrize_conduct(
    make: Mapping[str, Callable[[Any], Any]],
    views: MakeViews = views_for,
    *,
    encoder: Callable[[str], Any] = toy_encoder,
    expected_failures: Mapping[tuple[str, str], str] | None = None,
) -> Any:
    """A decorator that makes a test ``(objective, law)`` run once for each objective of ``make`` and each law.

    The test stands at the top level of its file: two processes load it, once for all objectives, to compare two ranks
    with one. A law that does not apply is skipped with its reason.

    Args:
        make: name to what makes the objective of an encoder, with small settings.
        views: ``(encoder, needs, ids, scale, dtype) -> views``, which follow from the ids; by default toy images with
            whatever ``needs`` asks for. Each pair of samples should have as many rows, hidden too.
        encoder: a new encoder for the objective of that name; the toy encoder by default.
        expected_failures: ``(name, law)`` to the reason why it fails; one that passes all the same fails the suite.
    """
    expected = dict(expected_failures or {})
    for name, law in expected:
        for word, known in ((name, tuple(make)), (law, NAMES)):
            if word not in known:
                raise UsageError(f"no objective or law of this suite is named {word!r}.{near(word, known)}")

    def decorate(test: Any) -> Any:
        where = inspect.getsourcefile(test), test.__module__, test.__qualname__
        on_ranks = functools.cache(lambda: run_ranks(_descend_all, 2, *where))
        on_device = functools.cache(lambda: run_ranks(_step_all, 1, *where)[0])  # a process of its own: see pretend
        test.subjects = {name: Subject(name, each, encoder, views, on_ranks, on_device) for name, each in make.items()}
        rows = [
            Row(it, law, f"{name}-{law.__name__}", expected.get((name, law.__name__)))
            for name, it in test.subjects.items()
            for law in LAWS
        ]
        return parametrize("objective", "law", rows)(test)

    return decorate


def _descend_all(file: str, module: str, test: str) -> dict[str, Found]:
    """On a rank: :func:`descend` of every objective of the suite that is decorated there."""
    subjects: Mapping[str, Subject] = getattr(load(file, module), test).subjects
    found: dict[str, Found] = {}
    for name, it in subjects.items():
        try:
            found[name] = descend(it)
        except Exception as error:  # noqa: BLE001 - the mistake of one objective is no other's
            found[name] = {"error": f"{type(error).__name__}: {error}"}
    return found


def _step_all(file: str, module: str, test: str) -> dict[str, list[str]]:
    """What a step of every objective of the suite waits for on an accelerator; an error is told as a wait."""
    from unlabeled.testing.pretend.objective import waits_of

    subjects: Mapping[str, Subject] = getattr(load(file, module), test).subjects
    found: dict[str, list[str]] = {}
    for name, it in subjects.items():
        try:
            found[name] = waits_of(*it.start())
        except Exception as error:  # noqa: BLE001 - the mistake of one objective is no other's
            found[name] = [f"{type(error).__name__}: {error}"]
    return found
