"""What `unlabeled` asks of every domain, of nodes and of whole graphs.

The default data are nodes of one graph, which cannot be taken apart; so what the kit asks of samples one by one it asks
again of generated graphs, by a domain that differs in its default data alone. Recipes take their first steps on both.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unlabeled.build import build
from unlabeled.config.recipes import load_recipe, recipe_files
from unlabeled.config.run import merge, resolve
from unlabeled.plugins.registry import use_files
from unlabeled.testing import checks as kit
from unlabeled.testing import parametrize_checks
from unlabeled.testing.recipes import check_steps
from unlabeled.testing.subject import NotApplicable

FILE = Path(__file__).with_name("graph_level.py")
OF_RECIPES = {
    "check_defaults_are_complete",
    "check_every_parameter_gets_a_gradient",
    "check_state_round_trip",
    "check_loss_falls",
}
OF_THE_TABLE = {
    "check_plugin_imports_nothing_heavy",
    "check_every_row_resolves",
    "check_settings_are_documented",
    "check_wired_names_are_known",
    "check_bad_input_is_named",
}


WAITS = {"check_a_step_waits_for_no_device": "how many links an augmentation leaves is in the data"}


@parametrize_checks("graph", WAITS)
def test_conformance(domain: str, check: Callable[[str], None]) -> None:
    check(domain)


@pytest.fixture
def graph_level() -> Iterator[str]:
    """The name of a domain whose samples are graphs."""
    use_files([str(FILE)])
    yield "graph_level"
    use_files(())


@pytest.mark.parametrize(
    "check",
    [pytest.param(c, id=c.__name__) for c in kit.CHECKS if c.__name__ not in OF_RECIPES | OF_THE_TABLE | WAITS.keys()],
)
def test_conformance_of_whole_graphs(graph_level: str, check: Callable[[str], None]) -> None:
    try:
        check(graph_level)
    except NotApplicable as reason:
        pytest.skip(f"does not apply: {reason}")


@pytest.mark.parametrize("name", [name for name in recipe_files("graph") if name != "node2vec"])
def test_first_steps_of_a_recipe_on_whole_graphs(name: str) -> None:
    """``node2vec``'s table has a vector for each node of one graph."""
    more = {"data": {"name": "motifs"}, "training": {"batch_size": 16}}
    check_steps(build(resolve(merge(load_recipe("graph", name), more), "graph")), range(16))
