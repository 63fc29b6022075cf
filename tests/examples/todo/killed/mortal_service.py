"""A process of the service that kills itself, as `kill -9` would, at a numbered step of a request.

A step is the moment before or after a write: a transaction of the app, or one of the assistant's journal, of which the
moments at its beginning and its end inside are steps, too.
"""

import os
import signal
import socket
from contextlib import AsyncExitStack

import anyio
import uvicorn
from fastapi import FastAPI
from sqlalchemy import event
from sqlalchemy.orm import Session
from starlette.types import ASGIApp, Receive, Scope, Send

from examples.todo_chatbot.api.service import Service
from tests.crash_sweep.life import Life
from tests.crash_sweep.mortal_store import MortalStore

DIE_AT = b"x-die-at"
"""The header that says at which step of its request the process dies."""


class Doom(Life):
    """Counts steps, once it is armed, and tells in a pipe how it ended."""

    def __init__(self, report: int) -> None:
        super().__init__()
        self.left: int | None = None
        self._report = report

    async def point(self, name: str) -> None:
        self.reach(name)

    def point_inside(self, name: str) -> None:
        self.reach(name)

    def reach(self, name: str) -> None:
        if self.left is None:
            return
        self.left -= 1
        if self.left < 0:
            self.tell(f"died {name}")
            os.kill(os.getpid(), signal.SIGKILL)

    def tell(self, ending: str) -> None:
        os.write(self._report, f"{ending}\n".encode())


class Armed:
    """Arms the doom of the process for a request that asks for it."""

    def __init__(self, app: ASGIApp, doom: Doom) -> None:
        self._app = app
        self._doom = doom

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = dict(scope.get("headers", ())).get(DIE_AT)
        if asked is None:
            await self._app(scope, receive, send)
        else:
            self._doom.left = int(asked)
            await self._app(scope, receive, send)
            self._doom.left = None
            self._doom.tell("survived")


def serve_until_killed(app: FastAPI, listener: socket.socket, report: int) -> None:
    """Serve in this process, on tables that are there. It lives too short to look for what others left undone."""
    anyio.run(_serve, app, listener, report)


async def _serve(app: FastAPI, listener: socket.socket, report: int) -> None:
    service: Service = app.state.service
    doom = Doom(report)
    service.store.kept = MortalStore(service.store.kept, doom)

    def before(_: Session) -> None:
        doom.reach("before a commit of the app")

    def after(_: Session) -> None:
        doom.reach("after a commit of the app")

    event.listen(Session, "before_commit", before)
    event.listen(Session, "after_commit", after)
    async with AsyncExitStack() as stack:
        await service.store.open()
        await stack.enter_async_context(service.mcp)
        await stack.enter_async_context(service.assistant)
        server = uvicorn.Server(uvicorn.Config(Armed(app, doom), lifespan="off", log_level="error"))
        await server.serve([listener])


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Serve as the app does."""
    anyio.run(uvicorn.Server(uvicorn.Config(app, log_level="error")).serve, [listener])
