"""Settings are values with sensible beginnings, which no two assistants share by accident."""

from typing import Any

import pytest

from assistant_kit.errors import ConfigurationError
from assistant_kit.settings import LeaseSettings, ModelSettings, RunLimits, Settings, WindowSettings


def test_a_request_has_what_the_window_leaves_beside_the_answer() -> None:
    assert WindowSettings(max_tokens=1_000, reserved_output=200).budget == 800


def test_settings_compare_by_value_and_share_nothing() -> None:
    assert Settings() == Settings()
    assert ModelSettings().extra is not ModelSettings().extra


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (RunLimits, {"max_steps": 0}),
        (RunLimits, {"parallel_tools": 0}),
        (RunLimits, {"timeout": 0.0}),
        (RunLimits, {"tool_timeout": -1.0}),
        (RunLimits, {"timeout": float("nan")}),
        (LeaseSettings, {"ttl": 0.0}),
        (LeaseSettings, {"ttl": float("inf")}),
        (LeaseSettings, {"wait": -1.0}),
    ],
)
def test_settings_by_which_nothing_could_run_are_refused(kind: type[Any], values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        kind(**values)
