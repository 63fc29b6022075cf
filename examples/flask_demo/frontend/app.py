"""The application: its routes, what stands around them, and what they use."""

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from socket import SHUT_RD
from typing import Any, Final, cast
from urllib.parse import urlsplit

from flask import Flask, Response, g, request
from flask_socketio import SocketIO
from werkzeug.middleware.proxy_fix import ProxyFix

from examples.flask_demo.frontend.csrf import protect
from examples.flask_demo.frontend.files import files
from examples.flask_demo.frontend.headers import secure_headers
from examples.flask_demo.frontend.live import attach, live
from examples.flask_demo.frontend.metrics import Metrics
from examples.flask_demo.frontend.orchestrator_client import OrchestratorClient
from examples.flask_demo.frontend.pages import pages
from examples.flask_demo.frontend.problems import tell_of_problems
from examples.flask_demo.frontend.proxy import proxied
from examples.flask_demo.frontend.request_ids import follow_requests
from examples.flask_demo.frontend.sessions import RedisSessions, SessionStore, redis_client
from examples.flask_demo.frontend.settings import Settings
from examples.flask_demo.frontend.sign_in import IdentityProvider, sign_in
from examples.flask_demo.frontend.sign_in_limit import SignInLimit
from examples.flask_demo.frontend.tokens import Tokens, published_keys
from examples.flask_demo.service_tokens import KeyRing
from examples.flask_demo.tls import client_context

_SOCKET_MESSAGE: Final = 16_384  # bytes that a browser may send at once on a socket
_log = logging.getLogger("web.frontend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontend:
    """The application and what it is made of."""

    app: Flask
    socketio: SocketIO
    client: OrchestratorClient
    sessions: SessionStore
    keys: KeyRing
    metrics: Metrics

    def shut(self) -> None:
        """Let streams and sockets end, and begin no more: this process ends."""
        self.client.shut()
        server = cast("Any", self.socketio).server
        for socket_id, opened in dict(server.eio.sockets).items():
            connection = server.environ.get(socket_id, {}).get("gunicorn.socket")
            opened.close(wait=False)
            if connection is not None:
                with suppress(OSError):
                    connection.shutdown(SHUT_RD)  # a browser that sleeps would not answer the word of goodbye


def make_app(settings: Settings) -> Flask:
    """Return the application. Raises KeysUnusable, TLSError."""
    return make_frontend(settings).app


def make_frontend(settings: Settings) -> Frontend:
    """Return the application with its parts; nothing is asked of other services yet. Raises KeysUnusable, TLSError."""
    keys, metrics, bounds = KeyRing.from_file(settings.signing_keys), Metrics(), settings.bounds
    client = OrchestratorClient(
        settings.orchestrators,
        token=Tokens(keys, settings.public_url).for_user,
        tls=None if settings.tls_dir is None else client_context(settings.tls_dir, "frontend"),
        streams=bounds.streams,
        metrics=metrics,
    )
    shared = redis_client(settings.redis_url)
    sessions = SessionStore(shared, idle=bounds.session_idle, life=bounds.session_life)
    app = Flask("examples.flask_demo.frontend")
    app.config |= {
        "TRUSTED_HOSTS": [urlsplit(settings.public_url).hostname],
        "MAX_CONTENT_LENGTH": bounds.largest_body,
        "PREFERRED_URL_SCHEME": urlsplit(settings.public_url).scheme,
    }
    app.session_interface = RedisSessions(sessions)
    provider = IdentityProvider(app, settings, metrics)
    limit = SignInLimit(shared, most=bounds.sign_ins)
    app.extensions |= {"orchestrator": client, "identity_provider": provider, "sign_in_limit": limit}
    if settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.proxies, x_proto=0, x_host=0)
    follow_requests(app)
    _measure(app, metrics)
    secure_headers(app, settings.public_host, https=settings.is_https, form_targets=provider.form_targets)
    tell_of_problems(app, metrics)
    protect(app, settings.public_url)
    proxy = proxied(largest_body=bounds.largest_body, largest_file=bounds.largest_file)
    for blueprint in (pages, files, live, sign_in, published_keys(keys), proxy):
        app.register_blueprint(blueprint)
    return Frontend(
        app=app,
        socketio=_socketio(app, settings.public_url),
        client=client,
        sessions=sessions,
        keys=keys,
        metrics=metrics,
    )


def _socketio(app: Flask, origin: str) -> SocketIO:
    options: dict[str, Any] = {
        "async_mode": "threading",
        "transports": ["websocket"],  # where that is not possible, pages read server-sent events
        "manage_session": False,
        "cors_allowed_origins": [origin],
        "max_http_buffer_size": _SOCKET_MESSAGE,
    }
    socketio = SocketIO(app, **options)
    attach(cast("Any", socketio))  # the types that are published of it know less than it does
    return socketio


def _measure(app: Flask, metrics: Metrics) -> None:
    def begin() -> None:
        g.began = time.monotonic()

    def end(response: Response) -> Response:
        route = str(request.url_rule.rule) if request.url_rule else "unknown"
        seconds = time.monotonic() - g.get("began", time.monotonic())
        metrics.add("web_requests_total", route=route, method=request.method, status=str(response.status_code))
        metrics.took(seconds, route=route)
        _log.log(
            logging.DEBUG if request.endpoint == "static" else logging.INFO,
            "request",
            extra={"method": request.method, "route": route, "status": response.status_code, "seconds": seconds},
        )
        return response

    app.before_request(begin)
    app.after_request(end)
