"""The front end as a browser sees it, in this process: the real application, a real Valkey, a stand-in orchestrator."""

import secrets
import socket
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from flask import session
from playwright.sync_api import Browser, BrowserContext, Page
from werkzeug.serving import make_server

from examples.flask_demo.frontend.app import Frontend, make_frontend
from examples.flask_demo.frontend.settings import Provider, Settings
from examples.flask_demo.frontend.sign_in import User
from tests.examples.web.stand_in import StandIn, running_stand_in

WAIT = 10_000
"""Milliseconds that a page has for anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A front end that serves, and the orchestrator behind it."""

    url: str
    frontend: Frontend
    stand_in: StandIn

    def break_sockets(self) -> None:
        """Break the connections of all sockets, as a proxy between may."""
        engine = cast("Any", self.frontend.socketio).server.eio
        for one in list(engine.sockets.values()):
            one.close(wait=False, abort=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Somebody with a browser of their own, signed in; nobody else has their user."""

    site: Site
    user: User
    context: BrowserContext

    def opens(self, path: str) -> Page:
        """Open a page in a tab of its own."""
        page = self.context.new_page()
        page.set_default_timeout(WAIT)
        page.goto(self.site.url + path)
        return page

    def begins(self, title: str = "A talk") -> str:
        """Return a new conversation of theirs."""
        return self.site.stand_in.begun(self.user.id, title)

    def hears(self, conversation: str, name: str, /, **data: object) -> None:
        """Let something happen in a conversation."""
        self.site.stand_in.tell(self.user.id, conversation, name, data)


@contextmanager
def running_site(redis_url: str, folder: Path) -> Generator[Site]:
    """Serve the front end at a free port of this machine, in threads."""
    with running_stand_in() as stand_in, socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        frontend = make_frontend(_settings(url, stand_in.url, redis_url, folder))
        frontend.app.add_url_rule("/enter/<user>", view_func=_enter)
        frontend.app.add_url_rule("/leave", view_func=_leave)
        server = make_server("127.0.0.1", port, frontend.app, threaded=True, fd=listening.fileno())
        vars(server)["daemon_threads"] = True  # a browser may hold its connection for longer than we wait
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            with closing(frontend.sessions), closing(frontend.client):
                yield Site(url=url, frontend=frontend, stand_in=stand_in)
                frontend.client.shut()
                for reader in [one for one in threading.enumerate() if one.name.endswith("(_tell)")]:
                    reader.join()
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@contextmanager
def visiting(
    browser: Browser, site: Site, *, width: int = 1280, dark: bool = False, javascript: bool = True
) -> Generator[Visitor]:
    """Sign somebody in, in a browser of their own."""
    user = User(id=f"u_{secrets.token_hex(16)}", name="Ann Example")
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if dark else "light",
        locale="en-GB",
        java_script_enabled=javascript,
    )
    with closing(context):
        page = context.new_page()
        page.goto(f"{site.url}/enter/{user.id}")
        page.close()
        yield Visitor(site=site, user=user, context=context)


def _enter(user: str) -> str:
    """Sign somebody in without an identity provider: a page that only these tests have."""
    session["user"] = asdict(User(id=user, name="Ann Example"))
    return "signed in"


def _leave() -> str:
    session.clear()
    return "signed out"


def _settings(url: str, orchestrator: str, redis_url: str, folder: Path) -> Settings:
    return Settings(
        listen=url.removeprefix("http://"),
        admin_listen="127.0.0.1:1",
        public_url=url,
        orchestrators=(orchestrator,),
        redis_url=redis_url,
        provider=Provider(issuer="http://127.0.0.1:1", client_id="web"),
        signing_keys=folder / "keys.pem",
    )
