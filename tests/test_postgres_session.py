"""A connection to Postgres, and how it is noticed that the server has ended it."""

import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from threading import Thread
from urllib.parse import urlsplit

import psycopg
import pytest

from assistant_kit.postgres_session import Session, opened


def test_a_session_lives_until_the_server_ends_it(postgres_url: str) -> None:
    with session_at(postgres_url) as session:
        assert session.lives
        end(postgres_url, session)

        assert not session.lives


def test_a_session_is_over_as_soon_as_the_server_has_said_so_and_before_it_hangs_up(postgres_url: str) -> None:
    with never_hangs_up(postgres_url) as url, session_at(url) as session:
        assert session.lives
        end(postgres_url, session)
        await_words(session)

        assert not session.lives


def test_what_else_a_server_says_unasked_ends_nothing(postgres_url: str) -> None:
    with session_at(postgres_url) as session:
        session.execute("DO $$ BEGIN RAISE WARNING 'look out'; END $$")

        assert session.lives


@pytest.mark.parametrize("closed", [True, False])
def test_a_session_that_was_closed_does_not_live(postgres_url: str, *, closed: bool) -> None:
    with session_at(postgres_url) as session:
        if closed:
            session.close()

        assert session.lives is not closed


@contextmanager
def session_at(url: str) -> Generator[Session]:
    session = opened(url, patience=5.0)
    try:
        yield session
    finally:
        session.close()


def end(postgres_url: str, session: Session) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 10000)", [session.info.backend_pid])


def await_words(session: Session) -> None:
    """Wait until what the server said has come through, without reading it."""
    with socket.socket(fileno=socket.dup(session.fileno())) as way:
        way.settimeout(5.0)
        assert way.recv(1, socket.MSG_PEEK)


@contextmanager
def never_hangs_up(postgres_url: str) -> Generator[str]:
    """A way to the server that carries its words, and not that it has closed the connection."""
    parts = urlsplit(postgres_url)
    with socket.create_server(("127.0.0.1", 0)) as door:
        ways: list[socket.socket] = []

        def carry(source: socket.socket, sink: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    sink.sendall(data)

        def serve() -> None:
            near, _ = door.accept()
            far = socket.create_connection((parts.hostname, parts.port))
            ways.extend((near, far))
            Thread(target=carry, args=(near, far), daemon=True).start()
            carry(far, near)

        serving = Thread(target=serve)
        serving.start()
        try:
            yield parts._replace(netloc=f"postgres@127.0.0.1:{door.getsockname()[1]}").geturl()
        finally:
            for way in ways:
                way.close()
            serving.join(5.0)
