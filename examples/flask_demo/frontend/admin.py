"""What operators and orchestrators ask the front end, on a listener of its own: health, figures, public keys."""

import threading
from collections.abc import Callable, Mapping

from flask import Flask, Response, jsonify
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from examples.flask_demo.frontend.metrics import CONTENT_TYPE, Metrics
from examples.flask_demo.frontend.orchestrator_client import OrchestratorClient
from examples.flask_demo.frontend.sessions import SessionStore, SessionsUnavailable
from examples.flask_demo.frontend.tokens import published_keys
from examples.flask_demo.service_tokens import KeyRing


def make_admin_app(*, sessions: SessionStore, client: OrchestratorClient, keys: KeyRing, metrics: Metrics) -> Flask:
    """Return the application for operators; it shows nothing of any user."""
    app = Flask("admin", static_folder=None)
    checks: Mapping[str, Callable[[], bool]] = {
        "redis": lambda: _answers(sessions),
        "orchestrator": client.is_reachable,
    }

    def health() -> Response:
        return jsonify(status="ok")

    def ready() -> tuple[Response, int]:
        found = {name: check() for name, check in checks.items()}
        is_ready = all(found.values())
        words = {name: "ok" if is_well else "unavailable" for name, is_well in found.items()}
        return jsonify(status="ready" if is_ready else "not ready", dependencies=words), 200 if is_ready else 503

    def figures() -> Response:
        return Response(metrics.text(), content_type=CONTENT_TYPE)

    app.add_url_rule("/health", view_func=health)
    app.add_url_rule("/ready", view_func=ready)
    app.add_url_rule("/metrics", view_func=figures)
    app.register_blueprint(published_keys(keys))
    return app


def serve_beside(app: Flask, host: str, port: int) -> BaseWSGIServer:
    """Serve an application in threads that end with this process, or by the server's `shutdown`."""
    server = make_server(host, port, app, threaded=True, request_handler=_Quiet)
    threading.Thread(target=server.serve_forever, name="admin", daemon=True).start()
    return server


class _Quiet(WSGIRequestHandler):
    """Writes no line for each request: probes come every few seconds."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def _answers(sessions: SessionStore) -> bool:
    try:
        sessions.ping()
    except SessionsUnavailable:
        return False
    return True
