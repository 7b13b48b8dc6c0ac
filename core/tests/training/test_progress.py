import io
import json
from types import SimpleNamespace

import pytest

from unlabeled.errors import PluginError
from unlabeled.training import callbacks, loggers
from unlabeled.training.loggers import Jsonl, drop_rows_after
from unlabeled.training.progress import Bar, Lines, Silent, display, duration, line
from unlabeled.training.session import Session

ROW = {"loss": 0.4123456, "rank": 37.12, "samples_per_second": 212.4, "data_wait": 0.031, "eta_seconds": 660}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_can_be_grepped():
    text = line(100, 4800, ROW)
    assert text == "step 00100/04800 (2%) | loss 0.4123 | rank 37.1 | 212 samples/s | wait 3% | eta 11m"
    assert "rank" not in line(1, 2, {k: v for k, v in ROW.items() if k != "rank"})


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (75, "1m15s"), (660, "11m"), (7500, "2h05m"), (273600, "3d04h")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_bar_on_a_terminal_lines_elsewhere_nothing_on_other_ranks():
    plain = io.StringIO()
    assert isinstance(display(0, 0, 10, plain), Lines)
    assert isinstance(display(1, 0, 10, plain), Silent)
    terminal = Terminal()
    bar = display(0, 0, 10, terminal)
    assert isinstance(bar, Bar)
    bar.show(5, 10, ROW)
    bar.say("saved [not markup]")
    bar.advance(6)
    bar.close()
    assert "loss 0.4123" in terminal.getvalue()
    assert "[not markup]" in terminal.getvalue()
    assert "6/10" in terminal.getvalue()


def test_rows_after_the_resumed_step_and_torn_lines_go(tmp_path):
    path = tmp_path / "metrics.jsonl"
    sink = Jsonl(path, 0)
    for step in (10, 20, 30):
        sink.log_metrics({"loss": 1.0 / step}, step)
    sink.finalize("success")
    path.write_text(path.read_text() + '{"step": 40, "lo')
    drop_rows_after(path, 20)
    assert [json.loads(text)["step"] for text in path.read_text().splitlines()] == [10, 20]
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_logger_package_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"pip install 'unlabeled\[wandb\]'"):
        loggers.wandb(tmp_path, "run")
    with pytest.raises(PluginError, match=r"pip install 'unlabeled\[mlflow\]'"):
        loggers.mlflow(tmp_path, "run")


def test_the_identity_of_a_run_stays_with_its_folder(tmp_path):
    first = loggers._run_id(tmp_path)
    assert first == loggers._run_id(tmp_path)
    assert len(first) == 12


def test_under_a_budget_of_time_the_share_is_that_of_the_time():
    row = {"loss": 1.0, "samples_per_second": 1.0, "data_wait": 0.0, "eta_seconds": 30.0}
    assert "(1%)" in line(10, 1000, row)
    assert "(50%)" in line(10, 1000, {**row, "done": 0.5})


def test_a_run_says_that_it_is_under_way_before_its_first_row(monkeypatch):
    said = []
    display = SimpleNamespace(say=said.append)
    monkeypatch.setattr(callbacks, "PATIENCE", 0.01)
    log = callbacks.Log(Session(40, 40, 4), 10, None, (), display, lambda batch: ())
    log.on_train_start(SimpleNamespace(global_step=0), None)
    log._first.join()
    assert said == ["training for 0.01 s: the first row comes after step 10 of 40"]
    log.on_train_end(None, None)
