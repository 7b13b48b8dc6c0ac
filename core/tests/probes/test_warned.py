import contextlib
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from unlabeled.probes import evaluate
from unlabeled.probes.warned import in_our_words, spoken


def never_converges():
    LogisticRegression(max_iter=1).fit(np.random.default_rng(0).normal(size=(50, 5)), np.arange(50) % 2)


def rare_class():
    list(StratifiedKFold(3).split(np.zeros((10, 1)), [0] * 5 + [1] * 4 + [2]))


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (never_converges, "before it converged"),
        (rare_class, "fewer samples than folds"),
        (lambda: warnings.warn("odd", ConvergenceWarning, stacklevel=1), "before it converged"),
    ],
)
def test_warnings_of_libraries_become_one_line_of_ours(act, said):
    notes = []
    with in_our_words("linear", notes):
        act()
        act()
    (line,) = notes
    assert line.startswith("linear: ")
    assert said in line


def test_other_warnings_stay_what_they_are():
    notes = []
    with pytest.warns(UserWarning, match="of ours"), in_our_words("linear", notes):
        warnings.warn("of ours", UserWarning, stacklevel=1)
    assert notes == []


def constant():
    spearmanr(np.ones(5), np.arange(5))


def odd_of_transformers():
    warnings.warn_explicit("`x` is deprecated", FutureWarning, "/site-packages/transformers/modeling.py", 7)


def few_points():
    KMeans(3, n_init=1).fit(np.zeros((5, 2)))


@pytest.mark.parametrize(
    ("act", "said"),
    [(never_converges, "before it converged"), (rare_class, "fewer samples than folds"), (constant, "is constant"),
     (few_points, "fewer distinct points"), (odd_of_transformers, "a library warns: `x` is deprecated")],
)  # fmt: skip
def test_a_command_says_them_in_our_words(act, said, recwarn):
    lines = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with spoken("embed", lines.append):
            act()
            act()
            warnings.warn("of ours", UserWarning, stacklevel=1)
    (line,) = lines
    assert line.startswith("embed: ")
    assert said in line
    assert [str(w.message) for w in recwarn] == ["of ours"]


def test_a_baseline_that_warns_as_it_is_fitted_is_a_note(monkeypatch):
    class Fitted:
        def fit(self, data, ids):
            never_converges()

    on = SimpleNamespace(
        notes=[], ids=torch.arange(4), seeds=(0,), data=SimpleNamespace(test=torch.ones(4)), embed=lambda made: None
    )
    on.sides = lambda seed: (torch.arange(2), torch.arange(2, 4))
    monkeypatch.setattr(evaluate, "fitting", lambda data, ids: contextlib.nullcontext(data))
    monkeypatch.setattr(evaluate, "measure", lambda on, make, fresh: {})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        evaluate.baseline(on, "tfidf", Fitted(), lambda line: None)
    (note,) = on.notes
    assert note.startswith("tfidf: ")
