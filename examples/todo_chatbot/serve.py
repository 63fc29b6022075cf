"""Serves the API: `python -m examples.todo_chatbot --serve`."""

import uvicorn

from examples.todo_chatbot.api.app import make_app
from examples.todo_chatbot.settings import Settings


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until a signal comes; messages that are being answered then have some seconds.

    Raises SettingsError, DatabaseUnavailable.
    """
    app = make_app(settings)
    uvicorn.run(app, host=host, port=port, server_header=False, timeout_graceful_shutdown=10, log_level="warning")
