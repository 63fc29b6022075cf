"""Making, renewing and replacing certificates."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID

from examples.flask_demo import certificates
from examples.flask_demo.certificates import CertificateError
from examples.flask_demo.tls import TLSError, client_context, server_context


def read(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def names(certificate: x509.Certificate) -> list[str]:
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*held.get_values_for_type(x509.DNSName), *map(str, held.get_values_for_type(x509.IPAddress))]


def usages(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_there_is_a_certificate_for_each_service_that_is_for_what_it_does(folder: Path) -> None:
    made = {name: read(folder / f"{name}.pem") for name in ("frontend", "orchestrator", "tools")}
    for name, certificate in made.items():
        assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == name
    assert {name: usages(certificate) for name, certificate in made.items()} == {
        "frontend": {Usage.CLIENT_AUTH},
        "orchestrator": {Usage.CLIENT_AUTH, Usage.SERVER_AUTH},
        "tools": {Usage.SERVER_AUTH},
    }
    assert {"localhost", "127.0.0.1", "calendar", "notes-blue", "search-green"} <= set(names(made["tools"]))


def test_only_the_owner_reads_private_keys(folder: Path) -> None:
    keys = list(folder.glob("*-key.pem"))
    assert len(keys) == 4
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_what_is_there_is_not_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.read_bytes() for file in folder.iterdir()}
    assert certificates.main([str(folder)]) == 2
    assert "--renew" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_renewed_certificates_are_of_the_same_ca_with_new_keys(tmp_path: Path) -> None:
    assert certificates.main([str(tmp_path), "--days", "1", "--host", "web.example", "--host", "10.1.2.3"]) == 0
    authority, before = (tmp_path / "ca.pem").read_bytes(), read(tmp_path / "tools.pem")
    assert before.not_valid_after_utc - datetime.now(UTC) < timedelta(days=1)
    assert {"web.example", "10.1.2.3"} <= set(names(before))
    assert certificates.main([str(tmp_path), "--renew"]) == 0
    after = read(tmp_path / "tools.pem")
    assert after.not_valid_after_utc - datetime.now(UTC) > timedelta(days=89)
    assert after.public_key() != before.public_key()
    assert (tmp_path / "ca.pem").read_bytes() == authority
    after.verify_directly_issued_by(read(tmp_path / "ca.pem"))
    server_context(tmp_path, "tools")
    client_context(tmp_path, "frontend")


def test_a_ca_is_replaced_in_three_steps_and_not_dropped_before_its_certificates(tmp_path: Path) -> None:
    certificates.make(tmp_path)
    old = read(tmp_path / "ca.pem")
    assert certificates.main([str(tmp_path), "--add-ca"]) == 0
    assert len(x509.load_pem_x509_certificates((tmp_path / "ca.pem").read_bytes())) == 2
    read(tmp_path / "tools.pem").verify_directly_issued_by(old)
    assert certificates.main([str(tmp_path), "--drop-ca"]) == 2
    assert certificates.main([str(tmp_path), "--renew"]) == 0
    assert certificates.main([str(tmp_path), "--drop-ca"]) == 0
    (only,) = x509.load_pem_x509_certificates((tmp_path / "ca.pem").read_bytes())
    assert only != old
    for name in ("frontend", "orchestrator", "tools"):
        read(tmp_path / f"{name}.pem").verify_directly_issued_by(only)


@pytest.mark.parametrize("arguments", [["--renew"], ["--add-ca"], ["--drop-ca"]])
def test_without_a_ca_there_is_nothing_to_renew(tmp_path: Path, arguments: list[str]) -> None:
    assert certificates.main([str(tmp_path), *arguments]) == 2


@pytest.mark.parametrize("content", [b"", b"no PEM"])
def test_a_ca_or_a_key_that_is_broken_is_an_error(folder: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ca.pem").write_bytes((folder / "ca.pem").read_bytes())
    (tmp_path / "ca-key.pem").write_bytes(content)
    with pytest.raises(CertificateError):
        certificates.renew(tmp_path)
    (tmp_path / "ca-key.pem").write_bytes((folder / "tools-key.pem").read_bytes())
    with pytest.raises(CertificateError):
        certificates.renew(tmp_path)
    (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(CertificateError):
        certificates.renew(tmp_path)


def test_a_host_that_is_no_name_is_an_error(tmp_path: Path) -> None:
    assert certificates.main([str(tmp_path), "--host", "ü"]) == 2


def test_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert certificates.main([str(tmp_path / "file" / "folder")]) == 2


@pytest.mark.parametrize("days", ["0", "-1", "x", "4000"])
def test_days_are_a_sensible_number(tmp_path: Path, days: str) -> None:
    with pytest.raises(SystemExit) as ended:
        certificates.main([str(tmp_path), "--days", days])
    assert ended.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_certificate_is_an_error_of_the_folder(folder: Path, tmp_path: Path) -> None:
    for file in ("ca.pem", "tools-key.pem"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    (tmp_path / "tools.pem").write_bytes(b"no PEM")
    with pytest.raises(TLSError):
        server_context(tmp_path, "tools")
