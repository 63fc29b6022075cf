"""What the environment says about the service."""

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from examples.todo_chatbot.database import Database
from examples.todo_chatbot.settings import LEAST_SECRET, LimitSettings, SettingsError, read_settings, signing_key


def test_limits_come_from_the_environment(tmp_path: Path) -> None:
    data = {"TODO_DATA": str(tmp_path)}
    assert read_settings(data).limits == LimitSettings()
    limits = read_settings({**data, "TODO_REQUESTS_PER_MINUTE": "5", "TODO_TOKENS_PER_DAY": "1000"}).limits
    assert limits == LimitSettings(requests_per_minute=5, tokens_per_day=1000)


@pytest.mark.parametrize("name", ["TODO_REQUESTS_PER_MINUTE", "TODO_TOKENS_PER_DAY"])
@pytest.mark.parametrize("value", ["-1", "many", "nan", "inf"])
def test_a_limit_that_is_none_is_an_error(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError):
        read_settings({"TODO_DATA": str(tmp_path), name: value})


def test_the_key_of_access_tokens_is_made_once(tmp_path: Path) -> None:
    settings = read_settings({"TODO_DATA": str(tmp_path)})
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(signing_key, [settings] * 8))
    assert len(keys) == 1
    assert len(keys.pop()) >= LEAST_SECRET
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_a_key_that_is_given_is_taken_and_not_shown(tmp_path: Path) -> None:
    settings = read_settings({"TODO_DATA": str(tmp_path), "TODO_SECRET": "x" * LEAST_SECRET})
    assert signing_key(settings) == b"x" * LEAST_SECRET
    assert "xxx" not in repr(settings)
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_too_short_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        signing_key(read_settings({"TODO_DATA": str(tmp_path), "TODO_SECRET": "short"}))


def test_a_folder_that_is_gone_has_no_key(tmp_path: Path) -> None:
    settings = read_settings({"TODO_DATA": str(tmp_path)})
    with pytest.raises(SettingsError):
        signing_key(replace(settings, data=tmp_path / "gone"))


@pytest.mark.parametrize("name", ["plain", "with space", "50% ?#&", "ä"])
def test_the_database_is_a_file_in_the_folder_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    settings = read_settings({"TODO_DATA": str(tmp_path / name)})
    database = Database(settings.database_url)
    database.migrate()
    database.close()
    assert (tmp_path / name / "todo.db").is_file()
