"""The conformance kit: one list of checks, for pytest and for ``unlabeled plugin check``.

A check is a plain function of a domain's name whose docstring begins with "Ensure that"; it returns nothing, raises
``AssertionError("ensure that ...: found ...")``, or raises ``NotApplicable`` with a reason. Checks look at the
domain's default data, its own components with their default settings, and its recipes.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from unlabeled.errors import UsageError, near
from unlabeled.plugins.registry import registry
from unlabeled.testing import checks_device, checks_encoder, checks_flow, checks_masks, checks_table, checks_training
from unlabeled.testing.subject import NotApplicable

Check = Callable[[str], None]
Status = Literal["passed", "failed", "expected", "stale", "not applicable"]

CHECKS: tuple[Check, ...] = (
    checks_table.check_plugin_imports_nothing_heavy,
    checks_table.check_every_row_resolves,
    checks_table.check_defaults_are_complete,
    checks_table.check_settings_are_documented,
    checks_table.check_wired_names_are_known,
    checks_table.check_purposes_are_unique,
    checks_flow.check_data_gives_batches,
    checks_flow.check_bad_input_is_named,
    checks_flow.check_views_keep_the_contract,
    checks_flow.check_layouts_and_content,
    checks_flow.check_same_draws_in_any_batch,
    checks_flow.check_draws_differ,
    checks_flow.check_baselines_give_features,
    checks_masks.check_masks_keep_the_contract,
    checks_masks.check_mask_rates_are_exact,
    checks_masks.check_mask_marginals,
    checks_masks.check_masks_touch_only_maskable_rows,
    checks_encoder.check_encoder_shapes,
    checks_encoder.check_encoder_refuses_what_it_cannot,
    checks_encoder.check_encoder_equals_the_bare_model,
    checks_encoder.check_hidden_content_does_not_leak,
    checks_encoder.check_padding_changes_nothing,
    checks_encoder.check_encoder_saves_and_loads,
    checks_encoder.check_encoder_compiles,
    checks_training.check_every_parameter_gets_a_gradient,
    checks_training.check_state_round_trip,
    checks_training.check_ranks_equal_one_rank,
    checks_training.check_loss_falls,
    checks_training.check_probe_is_above_chance,
    checks_device.check_a_step_waits_for_no_device,
)
NAMES = tuple(c.__name__ for c in CHECKS)


@dataclass(frozen=True)
class Outcome:
    """What a check found. ``stale`` is an expected failure that passed: take it off the list."""

    check: str
    status: Status
    message: str
    seconds: float

    @property
    def good(self) -> bool:
        """Whether the plugin may be released with it."""
        return self.status not in ("failed", "stale")

    def __str__(self) -> str:
        return f"{self.status:<14} {self.check} ({self.seconds:.1f} s)" + (f": {self.message}" if self.message else "")


def known(expected_failures: Iterable[str]) -> None:
    """Refuse names of checks that do not exist."""
    for name in expected_failures:
        if name not in NAMES:
            raise UsageError(f"no check is named {name!r}.{near(name, NAMES)}")


def check(domain: str, expected_failures: Mapping[str, str] | None = None) -> Iterator[Outcome]:
    """Run every check on a domain, one outcome at a time.

    Args:
        domain: its name, as on the command line.
        expected_failures: name of a check to the reason why it fails; one that passes all the same is ``stale``.
    """
    expected = dict(expected_failures or {})
    known(expected)
    registry().domain(domain)  # an unknown or broken plugin is its own error, before any check
    for each in CHECKS:
        start = time.perf_counter()
        status, message = _outcome(each, domain, expected.get(each.__name__))
        yield Outcome(each.__name__, status, message, time.perf_counter() - start)


def _outcome(each: Check, domain: str, expected: str | None) -> tuple[Status, str]:
    try:
        each(domain)
    except NotApplicable as reason:
        return "not applicable", str(reason)
    except AssertionError as error:
        return ("failed", str(error)) if expected is None else ("expected", expected)
    except Exception as error:  # noqa: BLE001 - what a plugin raises is a finding, and no end of the list
        text = f"{type(error).__name__}: {error}"
        return ("failed", text) if expected is None else ("expected", expected)
    return ("passed", "") if expected is None else ("stale", f"passes, though expected to fail: {expected}")
