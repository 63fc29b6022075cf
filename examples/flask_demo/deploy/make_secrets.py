"""Makes the secrets that compose.yaml mounts: `python -m examples.flask_demo.deploy.make_secrets`.

Certificates, keys and passwords, each a file of its own in the folder `secrets`, and `.env` with the user that the
containers run as: the owner of these files, who alone can read them. What is there already stays as it is.
"""

import argparse
import os
import secrets
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from examples.flask_demo import certificates
from examples.flask_demo.certificates import CertificateError
from examples.flask_demo.service_tokens import SigningKey

HERE = Path(__file__).parent
USER = 10001
"""Of the images, when root makes the files."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what is missing; 2 and one line on standard error when that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.flask_demo.deploy.make_secrets",
        description="Makes the secrets that are missing, and .env beside their folder.",
    )
    parser.add_argument("folder", type=Path, nargs="?", default=HERE / "secrets", metavar="DIR")
    folder: Path = parser.parse_args(arguments).folder
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (folder / "tls").exists():
            certificates.make(folder / "tls")
        for name, content in _missing(folder).items():
            _write(folder / name, content)
        _hand_over(folder)
    except (CertificateError, OSError) as error:
        print(f"make_secrets: {error}", file=sys.stderr)
        return 2
    return 0


def _missing(folder: Path) -> Mapping[str, str]:
    """Return the files that are not there, by name. Two that have one password in them are made together."""
    database, redis = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    everything = [
        {
            "postgres-password": database,
            "database-url": f"postgresql://web:{database}@postgres:5432/web",
        },
        {
            "valkey.conf": f"requirepass {redis}\nappendonly yes\nmaxmemory-policy noeviction\ndir /data\n",
            "redis-url": f"redis://:{redis}@valkey:6379/0",
        },
        {"frontend-signing-keys.pem": SigningKey.made().pem().decode()},
        {"orchestrator-signing-keys.pem": SigningKey.made().pem().decode()},
        {"master-keys": f"first:{b64encode(secrets.token_bytes(32)).decode()}\n"},
        {"notes-master-keys": f"first:{b64encode(secrets.token_bytes(32)).decode()}\n"},
        {"oidc-client-secret": secrets.token_urlsafe(32)},
        {"grafana-password": secrets.token_urlsafe(16)},
        {"openai-api-key": ""},  # empty: a rule-based model answers
    ]
    return {
        name: content
        for together in everything
        if not all((folder / name).exists() for name in together)
        for name, content in together.items()
    }


def _write(file: Path, content: str) -> None:
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(content)


def _hand_over(folder: Path) -> None:
    """Let the containers' user own the files, and note who that is."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        user = group = USER
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, group)
    note = folder.parent / ".env"
    if not note.exists():
        note.write_text(f"APP_UID={user}\nAPP_GID={group}\n")


if __name__ == "__main__":
    raise SystemExit(main())
