"""The secrets of compose.yaml are made once, for the eyes of their owner, in the forms that the parts read."""

import stat
from pathlib import Path

import pytest

from assistant_kit.stores.encrypted import MasterKeys
from examples.flask_demo.deploy.make_secrets import main
from examples.flask_demo.orchestrator.settings import master_keys
from examples.flask_demo.service_tokens import KeyRing
from examples.flask_demo.tls import client_context, server_context
from tests.examples.web.deploy.files import compose


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deploy") / "secrets"
    assert main([str(folder)]) == 0
    return folder


def test_all_that_compose_mounts_is_made(folder: Path) -> None:
    for name, secret in compose()["secrets"].items():
        assert (folder.parent / secret["file"]).is_file(), name


def test_only_the_owner_reads_them(folder: Path) -> None:
    for file in folder.rglob("*"):
        if not file.name.endswith(".pem") or "key" in file.name:
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def test_the_parts_can_use_them(folder: Path) -> None:
    assert isinstance(master_keys({"MASTER_KEYS_FILE": str(folder / "master-keys")}), MasterKeys)
    assert isinstance(MasterKeys.from_file(folder / "notes-master-keys"), MasterKeys)
    assert (folder / "notes-master-keys").read_text() != (folder / "master-keys").read_text()
    for name in ("frontend", "orchestrator"):
        KeyRing.from_pem((folder / f"{name}-signing-keys.pem").read_bytes())
        client_context(folder / "tls", name)
    server_context(folder / "tls", "tools")
    assert (folder / "postgres-password").read_text() in (folder / "database-url").read_text()
    password = (folder / "valkey.conf").read_text().split()[1]
    assert (folder / "redis-url").read_text() == f"redis://:{password}@valkey:6379/0"


def test_the_user_of_the_containers_owns_them(folder: Path) -> None:
    noted = dict(line.split("=") for line in (folder.parent / ".env").read_text().split())
    assert noted == {"APP_UID": str(folder.stat().st_uid), "APP_GID": str(folder.stat().st_gid)}
    assert {file.stat().st_uid for file in folder.rglob("*")} == {folder.stat().st_uid}
    assert folder.stat().st_uid != 0


def test_what_is_there_stays_and_what_is_missing_is_made(folder: Path) -> None:
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    (folder / "grafana-password").unlink()
    assert main([str(folder)]) == 0
    after = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert after.pop(folder / "grafana-password") != before.pop(folder / "grafana-password")
    assert after == before


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file" / "secrets")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
