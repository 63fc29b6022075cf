"""Where the development provider may listen."""

from pathlib import Path

import pytest

from examples.flask_demo.environment import SettingsError
from examples.flask_demo.identity.__main__ import main
from examples.flask_demo.identity.settings import read_settings

GIVEN = {"LISTEN": "127.0.0.1:8090", "ISSUER": "http://localhost:8090/"}


def test_an_environment_is_read(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s\n")

    more = {"OIDC_CLIENT_ID": "web", "OIDC_CLIENT_SECRET_FILE": str(file), "REDIRECT_URIS": "https://a/b https://c"}
    settings = read_settings(GIVEN | more)

    assert (settings.listen, settings.issuer, settings.client_id) == ("127.0.0.1:8090", "http://localhost:8090", "web")
    assert (settings.secret, settings.redirect_uris) == ("s", ("https://a/b", "https://c"))
    assert read_settings(GIVEN | {"OIDC_CLIENT_SECRET": "t"}).secret == "t"
    assert read_settings(GIVEN).secret is None


@pytest.mark.parametrize("listen", ["0.0.0.0:8090", "[::]:8090", "192.168.1.5:8090", "assistant.example:8090"])
def test_it_listens_on_this_machine_only_unless_it_is_told(listen: str) -> None:
    given = GIVEN | {"LISTEN": listen}

    with pytest.raises(SettingsError, match=r"^LISTEN"):
        read_settings(given)
    assert read_settings(given | {"DEVELOPMENT_SIGN_IN_ANYWHERE": "yes"}).listen == listen


@pytest.mark.parametrize("listen", ["localhost:8090", "[::1]:8090", "127.0.0.9:8090"])
def test_this_machine_has_several_names(listen: str) -> None:
    assert read_settings(GIVEN | {"LISTEN": listen}).listen == listen


@pytest.mark.parametrize(
    ("name", "value"),
    [("LISTEN", "8090"), ("ISSUER", ""), ("ISSUER", "localhost"), ("OIDC_CLIENT_SECRET_FILE", "/nowhere/at/all")],
)
def test_what_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}"):
        read_settings(GIVEN | {name: value})


def test_why_it_does_not_start_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LISTEN", "0.0.0.0:8090")
    monkeypatch.setenv("ISSUER", "http://localhost:8090")

    assert main([]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("identity: LISTEN")
