"""What is said of a run before it trains."""

from types import SimpleNamespace

from unlabeled.config.run import Choice
from unlabeled.runs.launch import ramped


def lines(settings, chosen=("optimizer",)):
    config = SimpleNamespace(parts={"optimizer": Choice("adamw", settings)})
    return ramped(SimpleNamespace(config=config), frozenset(chosen))


def test_a_weight_decay_that_rises_is_said_to_who_sets_its_start():
    ramp = {"weight_decay": 0.1, "final_weight_decay": 0.4}
    expected = "weight decay goes from 0.1 to 0.4 over the run: --optimizer.final-weight-decay sets its end"
    assert lines(ramp) == [expected]
    assert lines(ramp, ()) == []
    assert lines({**ramp, "final_weight_decay": None}) == lines({**ramp, "final_weight_decay": 0.1}) == []
    assert lines({"momentum": 0.9}) == []
