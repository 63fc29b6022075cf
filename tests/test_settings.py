"""Settings are values with sensible beginnings, which no two assistants share by accident."""

from assistant_kit.settings import ModelSettings, Settings, WindowSettings


def test_a_request_has_what_the_window_leaves_beside_the_answer() -> None:
    assert WindowSettings(max_tokens=1_000, reserved_output=200).budget == 800


def test_settings_compare_by_value_and_share_nothing() -> None:
    assert Settings() == Settings()
    assert ModelSettings().extra is not ModelSettings().extra
