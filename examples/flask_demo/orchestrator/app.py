"""The application: its routes, its errors, what it opens when it starts."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from fastapi import FastAPI

from assistant_kit.protocols.model import Model
from examples.flask_demo.orchestrator import conversations, files, messages, tools, usage
from examples.flask_demo.orchestrator.body_limit import BodyLimit
from examples.flask_demo.orchestrator.errors import add_error_handlers
from examples.flask_demo.orchestrator.metrics import Measured
from examples.flask_demo.orchestrator.service import make_service
from examples.flask_demo.orchestrator.settings import Settings
from examples.flask_demo.request_ids import RequestIDs
from examples.flask_demo.tracing import Traces

LARGEST_BODY: Final = 64 * 1024
"""Bytes of a body that is no upload."""
_ABOUT = """Conversations with an assistant that has tools and searches the files of its user. The front end asks, with
a token for each request that says who the user is. What is another user's is the same as what does not exist."""


def make_app(settings: Settings, *, model: Model | None = None) -> FastAPI:
    """Return the application; it opens what it needs when it starts. `model` answers in place of that of the settings.

    Raises SettingsError, KeysUnusable, TLSError, ConfigurationError.
    """
    service = make_service(settings, model=model)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="Orchestrator",
        description=_ABOUT,
        version="1.0.0",
        lifespan=lifespan,
        # `Traces` passes a trace on without an SDK, too, and makes one span for each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(BodyLimit, largest=partial(largest_body, settings.largest_file))
    app.add_middleware(Measured, metrics=service.metrics)
    app.add_middleware(Traces)
    app.add_middleware(RequestIDs)
    app.state.service = service
    add_error_handlers(app)
    for part in (conversations, messages, files, tools, usage):
        app.include_router(part.router)
    return app


def largest_body(largest_file: int, path: str) -> int:
    """Return how many bytes a body may have: that of an upload, with what stands around the file, or of anything."""
    return largest_file + LARGEST_BODY if path == f"{files.router.prefix}" else LARGEST_BODY
