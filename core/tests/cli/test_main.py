"""Which command is meant, exit codes, help, listings."""

import importlib.metadata
import json
import os

import pytest

from unlabeled.cli import main
from unlabeled.cli.main import GLOBAL, IN_DOMAIN
from unlabeled.errors import RunError
from unlabeled.plugins.registry import Registry, registry


def test_help_names_every_command_and_domain(unlabeled):
    found = unlabeled("--help")
    assert found.code == 0
    for name in (*GLOBAL, *IN_DOMAIN, "toy", "rows of numbers"):
        assert name in found.out


def test_no_words_are_a_question_for_help(unlabeled):
    assert unlabeled().out == unlabeled("--help").out


def test_help_of_a_domain(unlabeled):
    found = unlabeled("toy", "--help")
    assert found.code == 0
    assert "float [L, F]" in found.out


@pytest.mark.parametrize("command", IN_DOMAIN)
def test_every_command_of_a_domain_has_help(unlabeled, command):
    found = unlabeled("toy", command, "--help")
    assert found.code == 0
    assert found.out.startswith(f"usage: unlabeled toy {command}")
    assert "--data" in found.out or command == "export"


@pytest.mark.parametrize("command", GLOBAL)
def test_every_global_command_has_help(unlabeled, command):
    found = unlabeled(command, "--help")
    assert found.code == 0
    assert found.out.startswith(f"usage: unlabeled {'plugin ' if command == 'plugin' else command}")


def test_version(unlabeled):
    import unlabeled as package

    assert unlabeled("--version").out.startswith(f"unlabeled {package.__version__} (")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lst"], "unknown command or domain 'lst'. Perhaps you meant list"),
        (["toi", "pretrain"], "unknown command or domain 'toi'. Perhaps you meant toy"),
        (["toy", "pretrian"], "unknown command 'pretrian' of toy. Perhaps you meant pretrain"),
        (["--jsn"], "unknown flag --jsn: the command comes first"),
        (["list", "toi"], "unknown domain 'toi'. Perhaps you meant toy"),
        (["list", "--jsn"], "unknown flag --jsn. Perhaps you meant --json"),
        (["list", "toy", "toy"], "unexpected 'toy': unlabeled list [DOMAIN]"),
        (["recipes", "toi"], "unknown domain 'toi'"),
        (["--plugin"], "--plugin needs a value"),
        (["--plugin", "nowhere.py", "list"], "--plugin nowhere.py: no such file"),
        (["toy", "probe"], "a run folder is missing: unlabeled toy probe RUN"),
        (["toy", "probe", "a", "b"], "unexpected 'b'"),
        (["toy", "probe", "nowhere"], "nowhere: no such folder"),
        (["plugin", "nw", "x"], "unknown command 'nw' of plugin. Perhaps you meant new"),
        (["plugin", "check", "toi"], "unknown domain 'toi'"),
        (["plugin", "new"], "a name is missing: unlabeled plugin ACTION NAME"),
        (["report"], "a run folder is missing"),
        (["report", "nowhere"], "nowhere is no run folder: it does not exist"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(unlabeled, words, message):
    found = unlabeled(*words)
    assert found.code == 2
    assert found.err.startswith("error: ")
    assert message in found.err
    assert found.err.count("\n") == 1
    assert found.out == ""


def raising(error):
    def command(**settings):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (RunError("the loss is not finite"), 1, "failed: the loss is not finite\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (ZeroDivisionError("ours"), 1, "Traceback"),
    ],
)
def test_exit_codes(monkeypatch, capsys, error, code, message):
    monkeypatch.setattr("unlabeled.cli.list.list_command", raising(error))
    assert main(["list"]) == code
    assert capsys.readouterr().err.startswith(message)


class TestList:
    def test_by_kind_with_defaults_and_papers(self, unlabeled):
        lines = unlabeled("list", "toy").out.splitlines()
        assert lines[0].startswith("toy  (")
        assert lines[0].endswith("rows of numbers")
        row = next(line for line in lines if "mlp*" in line)
        assert row.split() == ["encoder", "mlp*", "a", "small", "network", "arxiv.org/abs/1706.03762"]
        assert any("simclr*" in line for line in lines)
        assert any("adamw*" in line for line in lines)

    def test_json(self, unlabeled):
        found = json.loads(unlabeled("list", "--json").out)
        assert [domain["name"] for domain in found["domains"]] == ["toy", "*"]
        rows = found["domains"][0]["components"]
        assert {row["name"]: row["default"] for row in rows if row["kind"] == "encoder"} == {
            "mlp": True,
            "zoo/*": False,
        }
        assert found["broken"] == []

    def test_the_list_of_all_has_cores_components_once(self, unlabeled):
        assert unlabeled("list").out.count("barlow_twins") == 1

    def test_what_no_part_can_serve_is_left_out_and_told_by_the_matrix(self, unlabeled, monkeypatch):
        lacking = "no mask of toy gives predict"
        monkeypatch.setattr(Registry, "unmet", lambda self, domain, row: lacking * (row.name in ("mae", "byol")))
        found = unlabeled("list", "toy").out
        assert "barlow_twins" in found
        assert "byol" not in found
        last = found.splitlines()[-1]
        assert last == "objectives that ask for what no part of toy gives: 2; unlabeled matrix names them"
        lines = unlabeled("matrix").out.splitlines()
        assert lines[0].split() == ["objective", "toy"]
        assert [line.split()[1] for line in lines if line.startswith(("mae ", "byol ", "simclr "))] == [
            "(1)", "(1)", "runs"
        ]  # fmt: skip
        assert lines[-1] == f"(1)  {lacking}"
        assert json.loads(unlabeled("matrix", "--json").out)["mae"] == {"toy": lacking}

    def test_markdown(self, unlabeled):
        out = unlabeled("list", "toy", "--markdown").out
        assert "| encoder | `mlp` (default) | a small network | [1706.03762](https://arxiv.org/abs/1706.03762) |" in out

    def test_a_broken_plugin_is_last_with_its_cause(self, unlabeled, monkeypatch):
        class Bad:
            name = "bad"
            dist = None

            def load(self):
                raise ModuleNotFoundError("No module named 'soundfile'")

        monkeypatch.delenv("UNLABELED_PLUGINS")
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Bad()])
        registry.cache_clear()
        found = unlabeled("list")
        assert found.code == 0
        line = found.out.splitlines()[-1]
        assert line == "bad  not loaded: bad: ModuleNotFoundError: No module named 'soundfile'"
        assert json.loads(unlabeled("list", "--json").out)["broken"][0]["name"] == "bad"
        assert "bad" in unlabeled("--help").out
        asked = unlabeled("bad", "pretrain")
        assert asked.code == 2
        assert "installed but broken" in asked.err
        assert "soundfile" in asked.err
        assert unlabeled("toy", "pretrain", "--print-config").code == 0

    def test_a_plugin_that_was_asked_for_and_is_not_installed(self, unlabeled, monkeypatch):
        monkeypatch.setenv("UNLABELED_PLUGINS", "nowhere")
        registry.cache_clear()
        assert unlabeled("list").out.splitlines()[-1].startswith("nowhere  not installed")

    def test_a_plugin_file_that_breaks_stops_its_command(self, unlabeled, tmp_path):
        (tmp_path / "bad.py").write_text("1 / 0")
        found = unlabeled("--plugin", tmp_path / "bad.py", "list")
        assert found.code == 2
        assert "ZeroDivisionError" in found.err

    def test_recipes(self, unlabeled):
        assert json.loads(unlabeled("recipes", "--json").out) == {"recipes": [], "broken": []}
        assert unlabeled("recipes").out.split() == ["domain", "recipe", "objective", "encoder", "paper", "summary"]


def test_plugin_new_and_check(unlabeled, monkeypatch, tmp_path):
    found = unlabeled("plugin", "new", "seismic", "--out", tmp_path)
    assert found.code == 0, found.err
    assert (tmp_path / "unlabeled-seismic" / "pyproject.toml").is_file()
    assert unlabeled("plugin", "new", "seismic", "--out", tmp_path).code == 2

    class Outcome:
        def __init__(self, good):
            self.good = good

        def __str__(self):
            return f"good {self.good}"

    for outcomes, code in (([True, True], 0), ([True, False], 1)):
        monkeypatch.setattr("unlabeled.testing.check", lambda d, o=outcomes: map(Outcome, o), raising=False)
        found = unlabeled("plugin", "check", "toy")
        assert found.code == code
        assert found.out.splitlines() == [f"good {o}" for o in outcomes]


@pytest.mark.parametrize("name", ["TRANSFORMERS_VERBOSITY", "HF_HUB_DISABLE_PROGRESS_BARS"])
def test_libraries_draw_no_bars_among_our_lines(unlabeled, monkeypatch, name):
    monkeypatch.delenv(name, raising=False)
    assert unlabeled("--version").code == 0
    assert os.environ[name]
