"""What stands around a front end in a test, and a browser without a screen."""

import json
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import httpx2
import uvicorn
from flask.testing import FlaskClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from werkzeug.test import TestResponse

from examples.flask_demo.frontend.app import Frontend, make_frontend
from examples.flask_demo.frontend.sessions import COOKIE
from examples.flask_demo.frontend.settings import Bounds, Provider, Settings
from examples.flask_demo.identity.app import make_app as make_provider
from examples.flask_demo.identity.settings import Settings as ProviderSettings
from tests.services.processes import free_port

PUBLIC_URL = "http://localhost:8000"
SECRET = "the front end's password"


@contextmanager
def served(app: Any, port: int | None = None) -> Generator[str]:
    """Serve an application of ASGI on a port of this machine, in a thread of its own; its address."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port or 0))
        listening.listen()  # who comes before it has started waits
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


@contextmanager
def identity_provider() -> Generator[str]:
    """Run the development provider; its issuer."""
    port = free_port()
    settings = ProviderSettings(listen=f"127.0.0.1:{port}", issuer=f"http://127.0.0.1:{port}", secret=SECRET)
    with served(make_provider(settings), port):
        yield settings.issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as the orchestrator got it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(kw_only=True)
class Recorder:
    """An orchestrator that records requests, and answers what a test says."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list[Seen])
    answer: Callable[[Request], Response] = lambda _: JSONResponse({"ok": True})

    def begin_anew(self) -> None:
        self.seen.clear()
        self.answer = type(self).answer

    def app(self) -> Starlette:
        async def take(request: Request) -> Response:
            target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            if target == "/health":
                return JSONResponse({"status": "ok"})
            body = await request.body()
            self.seen.append(Seen(method=request.method, target=target, headers=dict(request.headers), body=body))
            return self.answer(request)

        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return Starlette(routes=[Route("/{path:path}", take, methods=methods)])


@contextmanager
def recorder(port: int | None = None) -> Generator[Recorder]:
    """Run an orchestrator that records requests."""
    made = Recorder()
    with served(made.app(), port) as url:
        made.url = url
        yield made


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A front end, and browsers that come to it."""

    frontend: Frontend
    settings: Settings
    issuer: str

    def browser(self) -> "Browser":
        return Browser(self)


class Browser:
    """Somebody with a browser: cookies, and the headers that browsers send."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.http: FlaskClient = system.frontend.app.test_client()

    @property
    def session_id(self) -> str | None:
        cookie = self.http.get_cookie(COOKIE, "localhost")
        return None if cookie is None else cookie.value

    def ask(self, method: str, path: str, **given: Any) -> TestResponse:
        return self.http.open(path, method=method, base_url=PUBLIC_URL, **given)

    def get(self, path: str, **given: Any) -> TestResponse:
        return self.ask("GET", path, **given)

    def post(self, path: str, **given: Any) -> TestResponse:
        """Send what a script of our page would send."""
        headers = {"Origin": PUBLIC_URL, "X-CSRF-Token": self.csrf_token()} | given.pop("headers", {})
        return self.ask("POST", path, headers=headers, **given)

    def csrf_token(self) -> str:
        """Return the token of a page of ours."""
        with self.http.session_transaction(base_url=PUBLIC_URL) as session:
            return session.setdefault("csrf", "a token that a page has shown")

    def begin(self, wanted: str = "/") -> str:
        """Begin to sign in; where the provider is."""
        answer = self.get("/sign-in/start", query_string={"next": wanted})
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]

    def sign_in(self, name: str = "Ann", wanted: str = "/") -> TestResponse:
        """Sign in, as far as the answer of our callback."""
        return self.get(local(typed(self.begin(wanted), name)))

    def json(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        """Ask the API as our page's script does."""
        sent = {"Origin": PUBLIC_URL, "X-CSRF-Token": self.csrf_token(), "Content-Type": "application/json"}
        return self.ask(method, path, data=json.dumps(body), headers=sent | headers)


@cache
def _http() -> httpx2.Client:
    return httpx2.Client(trust_env=False)  # making one takes longer than what it is used for


def typed(authorize_url: str, name: str, **changed: str) -> str:
    """Type a name at the provider; where it sends the browser."""
    url = urlsplit(authorize_url)
    asked = dict(parse_qsl(url.query)) | changed | {"name": name}
    target = f"{url.scheme}://{url.netloc}{url.path}"
    answer = _http().post(target, data=asked)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def told(answer: TestResponse) -> dict[str, Any]:
    """Return the JSON object of an answer."""
    found: object = answer.json
    assert isinstance(found, dict), answer.text
    return cast("dict[str, Any]", found)


def local(url: str) -> str:
    """Return path and query of a URL of ours."""
    assert url.startswith(PUBLIC_URL), url
    return url.removeprefix(PUBLIC_URL)


def settings_in(
    folder: Path, redis_url: str, issuer: str, *orchestrators: str, proxies: int = 0, **bounds: int
) -> Settings:
    """Return the settings of a front end."""
    return Settings(
        listen="127.0.0.1:8000",
        admin_listen="127.0.0.1:8001",
        public_url=PUBLIC_URL,
        orchestrators=orchestrators,
        redis_url=redis_url,
        provider=Provider(issuer=issuer, client_id="web", secret=SECRET),
        signing_keys=folder / "keys.pem",
        proxies=proxies,
        bounds=replace(Bounds(sign_ins=100_000), **bounds),
    )


@contextmanager
def system(
    folder: Path, redis_url: str, issuer: str, *orchestrators: str, proxies: int = 0, **bounds: int
) -> Generator[System]:
    """Make a front end."""
    settings = settings_in(folder, redis_url, issuer, *orchestrators, proxies=proxies, **bounds)
    made = make_frontend(settings)
    try:
        yield System(frontend=made, settings=settings, issuer=issuer)
    finally:
        made.client.close()
        made.sessions.close()
