"""Talking with the assistant."""

from typing import Annotated
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Response
from pydantic import BaseModel, ConfigDict, Field

from assistant_kit import StoreError
from assistant_kit.run.options import RunOptions
from examples.todo_chatbot.api.access import Key, Owner, Parts, Storable
from examples.todo_chatbot.api.errors import documented
from examples.todo_chatbot.api.event_stream import DOCUMENTED, EventStream
from examples.todo_chatbot.api.service import Service
from examples.todo_chatbot.services.errors import Invalid

LONGEST_MESSAGE = 4_000  # characters

router = APIRouter(
    prefix="/api/{user_id}/chat",
    tags=["chat"],
    responses=documented(400, 401, 403, 404, 409, 413, 422, 429, 502, 503, 504),
)

RequestKey = Annotated[Key | None, Header(alias="Idempotency-Key")]


class ChatIn(BaseModel):
    """A message to the assistant; without a `conversation_id` it begins a conversation."""

    model_config = ConfigDict(extra="forbid")
    conversation_id: int | None = None
    message: Annotated[Storable, Field(min_length=1, max_length=LONGEST_MESSAGE, pattern=r"\S")]


class ChatOut(BaseModel):
    """The answer, and the names of the tools that were called for it."""

    conversation_id: int
    response: str
    tool_calls: list[str]


async def admitted(user: Owner, parts: Parts) -> UUID:
    """Return who asks, once for each message of a minute's allowance. Raises QuotaExceeded."""
    await parts.limits.message(user)
    return user


Admitted = Annotated[UUID, Depends(admitted)]


@router.post("")
async def chat(user: Admitted, parts: Parts, said: ChatIn, key: RequestKey = None) -> ChatOut:
    """Say something, and get the whole answer. The same request again under one key gets the same answer."""
    conversation, options = await _placed(parts, user, said, key)
    try:
        result = await parts.engine.run(said.message, **options)
    except StoreError:
        await to_thread.run_sync(parts.conversations.get, user, conversation)  # it may be deleted by now
        raise
    return ChatOut(
        conversation_id=conversation,
        response=result.text or result.refusal or "",
        tool_calls=[call.tool for call in result.tool_calls],
    )


@router.post("/stream", status_code=200, response_class=Response, responses=DOCUMENTED)
async def stream(user: Admitted, parts: Parts, said: ChatIn, key: RequestKey = None) -> Response:
    """Say something, and read the answer as it comes, as server-sent events; who leaves stops it.

    The first event is `conversation`; the others are those of the assistant's run, of which the last is `complete` or
    `error`.
    """
    conversation, options = await _placed(parts, user, said, key)
    return EventStream(parts.engine.stream(said.message, **options), conversation)


async def _placed(parts: Service, user: UUID, said: ChatIn, key: str | None) -> tuple[int, RunOptions]:
    """Find or begin the conversation, and say how to answer in it. Raises NotFound, Conflict, Invalid."""
    if key is not None and not parts.engine.repeats:
        raise Invalid("this server cannot answer a message once under a key: leave Idempotency-Key out")

    def place() -> int:
        return parts.chat_requests.conversation_of(user, said.conversation_id, said.message, key=key)

    conversation = await to_thread.run_sync(place)
    options = RunOptions(user=str(user), conversation=str(conversation))
    if key is not None:
        options["request_id"] = f"api/{key}"
    return conversation, options
