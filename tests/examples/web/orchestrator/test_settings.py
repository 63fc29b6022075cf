"""What the environment may say."""

from pathlib import Path

import pytest

from assistant_kit.stores.encrypted import MasterKeys
from examples.flask_demo.environment import SettingsError
from examples.flask_demo.orchestrator.__main__ import main
from examples.flask_demo.orchestrator.settings import ModelPlace, ToolPlace, read_settings

NEEDED = {
    "LISTEN": "127.0.0.1:8010",
    "ADMIN_LISTEN": "127.0.0.1:8011",
    "DATABASE_URL": "sqlite:///web.db",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "FILES_URL": "file:///files",
    "JWKS_URL": "http://127.0.0.1:8001/.well-known/jwks.json",
    "TOKEN_ISSUER": "http://localhost:8000",
    "MASTER_KEYS": MasterKeys.generate("first"),
    "SIGNING_KEYS_FILE": "keys.pem",
}


def test_the_needed_variables_are_enough() -> None:
    settings = read_settings(NEEDED)
    assert (settings.request_tokens, settings.reply_tokens, settings.model) == (4_000, 800, None)
    assert (dict(settings.tool_servers), settings.tls_dir, settings.otlp_endpoint) == ({}, None, None)


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_each_of_them_is_missed(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({key: value for key, value in NEEDED.items() if key != name})


def test_any_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    files: dict[str, str] = {}
    for name in ("MASTER_KEYS", "DATABASE_URL"):
        (tmp_path / name).write_text(f"{NEEDED[name]}\n")
        files[f"{name}_FILE"] = str(tmp_path / name)
    settings = read_settings({key: value for key, value in NEEDED.items() if f"{key}_FILE" not in files} | files)
    assert settings.database_url == NEEDED["DATABASE_URL"]


def test_tool_servers_and_a_model_are_named() -> None:
    more = {
        "TOOL_SERVERS": "calendar=https://127.0.0.1:1/, notes=http://127.0.0.1:2,search=mcp+https://127.0.0.1:3/mcp",
        "OPENAI_API_KEY": "sk",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_MODEL": "small",
        "TLS_DIR": "certificates",
    }
    settings = read_settings(NEEDED | more)
    assert dict(settings.tool_servers) == {
        "calendar": ToolPlace(url="https://127.0.0.1:1"),
        "notes": ToolPlace(url="http://127.0.0.1:2"),
        "search": ToolPlace(url="https://127.0.0.1:3/mcp", protocol="mcp"),
    }
    assert settings.tool_servers["search"].base == "https://127.0.0.1:3"
    assert settings.model == ModelPlace(name="small", key="sk", url="http://127.0.0.1:9/v1")
    assert settings.tls_dir == Path("certificates")


@pytest.mark.parametrize(
    "wrong",
    [
        {"REQUEST_TOKENS": "many"},
        {"REQUEST_TOKENS": "0"},
        {"REPLY_TOKENS": "4000"},
        {"MASTER_KEYS": "first"},
        {"MASTER_KEYS": "first:notbase64!"},
        {"MASTER_KEYS": "first:YWJj"},
        {"MASTER_KEYS": "", "MASTER_KEYS_FILE": "/no/such/file"},
        {"TOOL_SERVERS": "calendar"},
        {"TOOL_SERVERS": "calendar=ftp://x"},
        {"TOOL_SERVERS": "calendar=mcp+ftp://x"},
        {"TOOL_SERVERS": "a=http://x,a=http://y"},
        {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"},
        {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "sk"},
        {"LOG_LEVEL": "loud"},
    ],
)
def test_what_cannot_be_is_told_by_the_name_of_its_variable(wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"|".join(name.removesuffix("_FILE") for name in wrong)):
        read_settings(NEEDED | wrong)


def test_a_secret_is_not_shown() -> None:
    places = {"REDIS_URL": "redis://:hidden@host/0", "VECTORS_URL": "qdrant://:hidden@host"}
    settings = read_settings(NEEDED | places | {"OPENAI_API_KEY": "sk-secret"})
    assert settings.vectors_url == "qdrant://:hidden@host"
    assert not any(secret in repr(settings) for secret in ("sk-secret", "hidden", NEEDED["MASTER_KEYS"][6:]))


def test_a_process_that_cannot_start_says_why_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)
    assert main([]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_new_master_key_is_one_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys"]) == 0
    read_settings(NEEDED | {"MASTER_KEYS": capsys.readouterr().out})
