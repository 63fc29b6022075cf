"""The application: its routes, its errors, what it opens when it starts."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.routing import Route

from assistant_kit.protocols.model import Model
from examples.todo_chatbot.api import account, auth, chat, conversations, health, tasks
from examples.todo_chatbot.api.body_limit import BodyLimit
from examples.todo_chatbot.api.errors import add_error_handlers
from examples.todo_chatbot.api.service import make_service
from examples.todo_chatbot.auth.passwords import Passwords
from examples.todo_chatbot.mcp_server.config import PATH
from examples.todo_chatbot.settings import Settings

LARGEST_BODY = 64 * 1024  # bytes
_ABOUT = """Tasks, and an assistant that keeps them. Sign up, and send the access token as `Authorization: Bearer …`.
What is another user's is the same as what does not exist. Clients of the Model Context Protocol come to `/mcp`."""


def make_app(settings: Settings, *, model: Model | None = None, passwords: Passwords | None = None) -> FastAPI:
    """Return the application; it opens its database when it starts. `passwords` says how passwords are hashed.

    `model` answers in place of that of the settings. Raises SettingsError, DatabaseUnavailable.
    """
    service = make_service(settings, model=model, passwords=passwords)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="Todo assistant",
        description=_ABOUT,
        version="1.0.0",
        lifespan=lifespan,
    )
    app.add_middleware(BodyLimit, limit=LARGEST_BODY)
    app.state.service = service
    add_error_handlers(app)
    for part in (health, auth, tasks, chat, conversations, account):
        app.include_router(part.router)
    app.router.routes.append(Route(PATH, service.mcp))
    return app
