import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from unlabeled.probes.warned import in_our_words


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
