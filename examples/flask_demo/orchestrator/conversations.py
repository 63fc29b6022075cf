"""The conversations of a user."""

import secrets
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from assistant_kit import ConversationInfo
from examples.flask_demo.orchestrator.access import ConversationId, Parts, Plain, Reader, Writer
from examples.flask_demo.orchestrator.errors import documented
from examples.flask_demo.orchestrator.service import Service
from examples.flask_demo.orchestrator.turns import moment, pending, seconds_of, shown_turns

router = APIRouter(
    prefix="/api/v1/conversations", tags=["conversations"], responses=documented(401, 404, 409, 422, 429, 503)
)

_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_SHOWN: Final = 200
"""Turns that a conversation shows, the newest."""
_HOLD: Final = 5.0  # seconds
_ROUNDED: Final = 1e-6
"""Seconds by which a time that is shown may differ from the one that is kept."""

Title = Annotated[Plain, Field(max_length=200)]


class ConversationIn(BaseModel):
    """What a conversation may begin with."""

    model_config = ConfigDict(extra="forbid")
    title: Title = ""


class TitleIn(BaseModel):
    """A new title."""

    model_config = ConfigDict(extra="forbid")
    title: Annotated[Title, Field(min_length=1, pattern=r"\S")]


class ConversationOut(BaseModel):
    """A conversation in a list. Times are UTC."""

    id: str
    title: str
    created_at: str
    updated_at: str


class ConversationsOut(BaseModel):
    """A page of conversations. `before` of the next page is the last `updated_at`."""

    conversations: list[ConversationOut]


@router.post("", status_code=201)
async def begin_conversation(user: Writer, parts: Parts, given: ConversationIn | None = None) -> ConversationOut:
    """Begin a conversation; it is empty."""
    name = "c_" + "".join(secrets.choice(_LETTERS) for _ in range(26))
    store = parts.store.for_user(user)
    lease = await store.claim(name, owner=secrets.token_hex(8), ttl=_HOLD)  # which makes it
    await store.release(lease)
    if given is not None and given.title.strip():
        await parts.assistant.conversation(name, user=user).rename(given.title.strip())
    return await _one(parts, user, name)


@router.get("")
async def list_conversations(
    user: Reader,
    parts: Parts,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    before: Annotated[str | None, Query(max_length=40, description="The last `updated_at` of the page before")] = None,
) -> ConversationsOut:
    """List conversations, the last changed first."""
    at = None if before is None else seconds_of(before) + _ROUNDED
    found = await parts.assistant.conversations(user=user, limit=limit + 1, before=at)
    behind = [info for info in found if before is None or moment(info.updated_at) < moment(seconds_of(before))]
    return ConversationsOut(conversations=[_shown(info) for info in behind[:limit]])


@router.get("/{conversation}")
async def show_conversation(user: Reader, parts: Parts, conversation: ConversationId) -> dict[str, Any]:
    """Show a conversation with its newest turns, and where the stream of its events goes on from."""
    last = await parts.stream_place(user, conversation)  # first: what comes meanwhile is in the stream
    info = await info_of(parts, user, conversation)
    turns = await parts.assistant.conversation(conversation, user=user).history(limit=_SHOWN)
    return {
        **_shown(info).model_dump(),
        "running": info.state == "open",
        "last_event_id": last,
        "turns": shown_turns(turns),
        "pending": pending(turns),
    }


@router.patch("/{conversation}")
async def rename_conversation(
    user: Writer, parts: Parts, conversation: ConversationId, given: TitleIn
) -> ConversationOut:
    """Give a conversation a title."""
    await parts.assistant.conversation(conversation, user=user).rename(given.title.strip())
    return await _one(parts, user, conversation)


@router.delete("/{conversation}", status_code=204)
async def delete_conversation(user: Writer, parts: Parts, conversation: ConversationId) -> None:
    """Delete a conversation with all that was said, unless it is being answered just now."""
    await parts.assistant.conversation(conversation, user=user).delete()
    await parts.forget_stream(user, conversation)


async def info_of(parts: Service, user: str, conversation: str) -> ConversationInfo:
    """Return what a list says of one conversation. Raises ConversationNotFound, also for that of anybody else."""
    return await parts.assistant.conversation(conversation, user=user).info()


async def _one(parts: Service, user: str, conversation: str) -> ConversationOut:
    return _shown(await info_of(parts, user, conversation))


def _shown(info: ConversationInfo) -> ConversationOut:
    return ConversationOut(
        id=info.conversation,
        title=info.title,
        created_at=moment(info.created_at),
        updated_at=moment(info.updated_at),
    )
