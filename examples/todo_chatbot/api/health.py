"""Whether the service is well."""

from typing import Literal

from anyio import to_thread
from fastapi import APIRouter
from pydantic import BaseModel
from sqlmodel import select

from examples.todo_chatbot.api.access import Parts
from examples.todo_chatbot.api.errors import documented

router = APIRouter(tags=["health"])


class HealthOut(BaseModel):
    """`assistant` is `basic` where rules answer, and `degraded` while something around the model is not well."""

    status: Literal["ok"] = "ok"
    assistant: Literal["ok", "degraded", "basic"]


@router.get("/health", responses=documented(503))
async def health(parts: Parts) -> HealthOut:
    """Tell whether requests can be answered; nothing is asked of the model's provider."""
    await to_thread.run_sync(_ask, parts)
    if parts.model is None and parts.settings.model is None:
        return HealthOut(assistant="basic")
    return HealthOut(assistant="ok" if parts.assistant.health().ok else "degraded")


def _ask(parts: Parts) -> None:
    with parts.database.reading() as session:
        session.exec(select(1)).one()
