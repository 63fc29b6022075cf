"""An S3 that speaks the real protocol over HTTP: moto's server, as a process of its own."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.services.processes import ending_with_us, free_port, running

STOP = Signals.SIGTERM


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """Where the server is, and the environment by which clients find it; it takes any key."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables that obstore and the tools of AWS read."""
        return {
            "AWS_ENDPOINT": self.url,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "a secret of tests",
        }

    def make_bucket(self, name: str) -> None:
        """Make a bucket; it is no error when it is there."""
        with urlopen(Request(f"{self.url}/{name}", method="PUT"), timeout=10):  # noqa: S310  (our own, on loopback)
            pass


@contextmanager
def running_s3() -> Generator[S3Server]:
    """An S3 on loopback for the time of the block; its buckets end with it."""
    server = S3Server(url=f"http://127.0.0.1:{free_port()}")
    port = server.url.rpartition(":")[2]
    command = [*ending_with_us(STOP), sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", port]
    with (
        TemporaryDirectory(prefix="assistant-kit-s3-", ignore_cleanup_errors=True) as folder,
        running(command, stop=STOP, log=Path(folder, "log"), answers=lambda: _answers(server.url)),
    ):
        yield server


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/moto-api/", timeout=5):  # noqa: S310  (our own, on loopback)
            return True
    except (URLError, ConnectionError):
        return False
