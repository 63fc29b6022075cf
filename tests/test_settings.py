"""Settings are values with sensible beginnings, which no two assistants share by accident."""

from typing import Any

import pytest

from assistant_kit.errors import ConfigurationError
from assistant_kit.settings import LeaseSettings, ModelSettings, RecallSettings, RunLimits, Settings, WindowSettings


def test_a_request_has_what_the_window_leaves_beside_the_answer() -> None:
    assert WindowSettings(max_tokens=1_000, reserved_output=200).budget == 800


def test_a_result_is_cut_at_an_eighth_of_the_window_unless_told_otherwise() -> None:
    assert WindowSettings(max_tokens=9_000, reserved_output=1_000).result_tokens == 1_000
    assert WindowSettings(max_tokens=100, reserved_output=0).result_tokens == 64
    assert WindowSettings(max_result_tokens=200).result_tokens == 200


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
        (WindowSettings, {"max_tokens": 100, "reserved_output": 100}),
        (WindowSettings, {"reserved_output": -1}),
        (WindowSettings, {"low_watermark": 0.0}),
        (WindowSettings, {"low_watermark": 0.8, "high_watermark": 0.7}),
        (WindowSettings, {"high_watermark": 1.1}),
        (WindowSettings, {"tool_share": 0.0}),
        (WindowSettings, {"cached_tokens": -1}),
        (WindowSettings, {"max_result_tokens": 63}),
        (RecallSettings, {"limit": 0}),
        (RecallSettings, {"max_tokens": 0}),
    ],
)
def test_settings_by_which_nothing_could_run_are_refused(kind: type[Any], values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        kind(**values)
