"""`make bench` runs scripts that exist, and RESULTS.md says what the files in results/ say."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "bench"


@pytest.fixture(scope="module")
def run():
    spec = importlib.util.spec_from_file_location("bench_run", BENCH / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(BENCH))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCH))
    return module


def test_every_section_has_a_script(run):
    commands = run.commands(list(run.SECTIONS))
    assert len(commands) == len(set(commands)) < len(run.SECTIONS)
    assert not [script for script, *_ in commands if not (BENCH / f"{script}.py").is_file()]


def test_every_result_has_a_section(run):
    assert {file.stem for file in (BENCH / "results").glob("*.json")} <= set(run.SECTIONS)


def test_the_page_is_what_the_results_make(run):
    assert (BENCH / "RESULTS.md").read_text(encoding="utf-8") == run.page() + "\n", "run: python bench/run.py --write"


def test_a_result_names_its_command_and_machine():
    for file in (BENCH / "results").glob("*.json"):
        found = json.loads(file.read_text(encoding="utf-8"))
        assert "python bench/" in found["command"], file.name
        assert {"cpu", "torch"} <= set(found["machine"]), file.name
