"""What the environment may say, and what is told when it says something else."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from examples.flask_demo.environment import SettingsError
from examples.flask_demo.frontend.settings import VARIABLES, Bounds, Settings, read_settings

GIVEN: Mapping[str, str] = {
    "LISTEN": "127.0.0.1:8000",
    "ADMIN_LISTEN": "127.0.0.1:8001",
    "PUBLIC_URL": "https://Assistant.example/",
    "ORCHESTRATOR_URLS": "https://one:8010, https://two:8010/",
    "REDIS_URL": "redis://:secret@redis:6379/0",
    "OIDC_ISSUER": "https://login.example/realm",
    "OIDC_CLIENT_ID": "web",
    "SIGNING_KEYS_FILE": "/run/keys.pem",
}


def test_an_environment_is_read() -> None:
    settings = read_settings(GIVEN)

    assert settings.public_url == "https://assistant.example"
    assert (settings.public_host, settings.is_https) == ("assistant.example", True)
    assert settings.orchestrators == ("https://one:8010", "https://two:8010")
    assert (settings.provider.issuer, settings.provider.secret) == ("https://login.example/realm", None)
    assert (settings.tls_dir, settings.threads, settings.proxies) == (None, 512, 0)


def test_the_limit_of_sign_ins_and_the_proxies_before_us_are_read() -> None:
    settings = read_settings({**GIVEN, "SIGN_INS": "5", "PROXIES": "2"})

    assert (settings.bounds.sign_ins, settings.proxies) == (5, 2)
    assert read_settings({**GIVEN, "PUBLIC_URL": "http://localhost:8000"}).bounds.sign_ins > 1000, "one address for all"


def test_a_form_may_be_larger_than_its_file() -> None:
    assert read_settings({**GIVEN, "LARGEST_FILE": "5"}).bounds.largest_file == 5 + 65_536
    assert read_settings(GIVEN).bounds == Bounds()


def test_secrets_may_stand_in_files_and_are_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("very secret\n")

    settings = read_settings({**GIVEN, "OIDC_CLIENT_SECRET_FILE": str(file)})

    assert settings.provider.secret == "very secret"
    assert "secret" not in repr(settings).replace("secret_", "")


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}"):
        read_settings({key: value for key, value in GIVEN.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LISTEN", "8000"),
        ("LISTEN", "127.0.0.1:0"),
        ("LISTEN", "127.0.0.1:65536"),
        ("ADMIN_LISTEN", "localhost:http"),
        ("PUBLIC_URL", "http://assistant.example"),
        ("PUBLIC_URL", "https://assistant.example/path"),
        ("PUBLIC_URL", "assistant.example"),
        ("PUBLIC_URL", "https://user@assistant.example"),
        ("ORCHESTRATOR_URLS", " , "),
        ("ORCHESTRATOR_URLS", "one:8010"),
        ("OIDC_ISSUER", "login.example"),
        ("OIDC_ISSUER", "https://login.example?a=b"),
        ("OIDC_CLIENT_SECRET_FILE", "/nowhere/at/all"),
        ("LARGEST_FILE", "-1"),
        ("THREADS", "0"),
        ("SIGN_INS", "0"),
        ("PROXIES", "nginx"),
        ("THREADS", "many"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}"):
        read_settings({**GIVEN, name: value})


@pytest.mark.parametrize(
    "url", ["http://localhost:8000", "http://127.0.0.1:8000", "http://a.localhost", "http://[::1]:8"]
)
def test_without_tls_people_come_from_this_machine_only(url: str) -> None:
    settings = read_settings({**GIVEN, "PUBLIC_URL": url, "THREADS": "8", "LOG_LEVEL": "DEBUG"})

    assert (settings.public_url, settings.is_https) == (url, False)
    assert (settings.threads, settings.log_level) == (8, "debug")


def test_every_variable_is_described() -> None:
    optional = {"OIDC_CLIENT_SECRET", "TLS_DIR", "LARGEST_FILE", "SIGN_INS", "PROXIES", "THREADS", "LOG_LEVEL"}
    optional |= {"OTEL_EXPORTER_OTLP_ENDPOINT"}

    assert {line.split()[0] for line in VARIABLES.splitlines()[1:]} == {*GIVEN, *optional}
    assert isinstance(read_settings(GIVEN), Settings)
