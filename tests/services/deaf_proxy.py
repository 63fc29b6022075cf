"""A connection that breaks after a server has heard a command, and before its answer has come."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Stands between a store and its server. When `deaf`, it passes commands on and breaks before the answer."""

    def __init__(self, url: str) -> None:
        self.deaf: bool = False
        place = urlsplit(url)
        self._target = (place.hostname, place.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        login, at, _ = place.netloc.rpartition("@")
        here = f"{login}{at}127.0.0.1:{self._listener.getsockname()[1]}"
        self.url: str = place._replace(netloc=here).geturl()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, here: socket.socket, there: socket.socket, answers: bool) -> None:  # noqa: FBT001
        try:
            while data := here.recv(65536):
                if answers and self.deaf:
                    break
                there.sendall(data)
        except OSError:
            pass
        for end in (here, there):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # closing alone wakes nobody who reads from it
            end.close()

    def close(self) -> None:
        self._listener.close()


@contextmanager
def proxy_to(url: str) -> Generator[Proxy]:
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
