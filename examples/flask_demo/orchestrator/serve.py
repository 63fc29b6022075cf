"""Serves the API and the operators' place until a signal comes."""

from pathlib import Path

from examples.flask_demo.orchestrator.admin import make_admin
from examples.flask_demo.orchestrator.app import make_app
from examples.flask_demo.orchestrator.logging import set_up_logging
from examples.flask_demo.orchestrator.settings import Settings
from examples.flask_demo.serving import ServerTLS, listening, serve
from examples.flask_demo.tracing import exporting

CALLERS = ("frontend",)


def run(settings: Settings) -> None:
    """Serve; what is being answered at the end is left to another orchestrator.

    Raises SettingsError, KeysUnusable, TLSError, ServingError.
    """
    set_up_logging(settings.log_level)
    app = make_app(settings)
    service = app.state.service
    with exporting("orchestrator", settings.otlp_endpoint):
        serve(
            listening(app, settings.listen, tls=tls_of(settings.tls_dir)),
            listening(make_admin(service), settings.admin_listen),
            on_stop=service.drain,
        )


def tls_of(directory: Path | None) -> ServerTLS | None:
    """Return how the front end alone may call; None for plain HTTP."""
    return None if directory is None else ServerTLS(directory=directory, name="orchestrator", allowed=CALLERS)
