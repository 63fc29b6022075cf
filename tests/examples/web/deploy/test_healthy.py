"""The health check of the images says whether the part in it can be used."""

from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from examples.flask_demo.deploy.docker.healthy import main


class Part(BaseHTTPRequestHandler):
    """Is ready, and nothing else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path in ("/ready", "/other") else 503)
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@contextmanager
def part() -> Generator[str]:
    with HTTPServer(("127.0.0.1", 0), Part) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"0.0.0.0:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_part_is_healthy_while_it_says_that_it_is_ready() -> None:
    with part() as where:
        assert main([], {"ADMIN_LISTEN": where}) == 0
        assert main(["LISTEN", "/other"], {"LISTEN": where}) == 0
        assert main(["LISTEN", "/health"], {"LISTEN": where}) == 1
    assert main([], {"ADMIN_LISTEN": where}) == 1


@pytest.mark.parametrize("where", ["", "host", "host:port", "host:70000"])
def test_without_an_address_it_is_not_healthy(where: str) -> None:
    assert main([], {"ADMIN_LISTEN": where}) == 1
