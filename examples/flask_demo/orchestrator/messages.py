"""Talking with the assistant: messages, the stream of what happens, stopping, decisions on tool calls."""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from assistant_kit import InputError
from examples.flask_demo.orchestrator.access import ConversationId, Parts, Plain, Reader, RequestKey, Writer
from examples.flask_demo.orchestrator.attachments import Attached, message_of
from examples.flask_demo.orchestrator.conversations import info_of
from examples.flask_demo.orchestrator.errors import Conflict, documented
from examples.flask_demo.orchestrator.files import uploaded
from examples.flask_demo.orchestrator.service import Service

LONGEST: Final = 8_000  # characters
MOST_FILES: Final = 10
_TITLE: Final = 60  # characters

router = APIRouter(
    prefix="/api/v1/conversations/{conversation}",
    tags=["messages"],
    responses=documented(401, 404, 409, 413, 422, 429, 503),
)


class MessageIn(BaseModel):
    """A message, and the files that it is about."""

    model_config = ConfigDict(extra="forbid")
    text: Annotated[Plain, Field(min_length=1, max_length=LONGEST, pattern=r"\S")]
    files: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=MOST_FILES)] = []


class DecisionIn(BaseModel):
    """A decision on a call that waits; `digest` is that of the `approval_required` event."""

    model_config = ConfigDict(extra="forbid")
    approve: bool
    digest: Annotated[str, Field(min_length=1, max_length=200)]


class Nothing(BaseModel):
    """Nothing to say."""


async def admitted(user: Writer, parts: Parts) -> str:
    """Return who says something, once for each message of a minute's allowance. Raises QuotaExceeded."""
    await parts.limits.count("messages", user)
    return user


@router.post("/messages", response_model=None, responses={200: {"content": {"text/event-stream": {}}}, 202: {}})
async def say(
    user: Annotated[str, Depends(admitted)],
    parts: Parts,
    conversation: ConversationId,
    said: MessageIn,
    key: RequestKey,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """Say something. The stream has what happens, until `complete` or `error`; who leaves it does not stop the answer.

    With `Accept: application/json` the answer comes at once and says where the stream of events goes on from. The same
    message again under its key joins the answer that is under way, or replays it.
    """
    files = await _files(parts, user, said.files)
    before = await info_of(parts, user, conversation)
    started = await parts.relay.start(
        message_of(said.text, files),
        user=user,
        conversation=conversation,
        request_id=key,
    )
    if not before.records and not before.title:
        await parts.assistant.conversation(conversation, user=user).rename(_title(said.text))
    if "application/json" in accept:
        place = await parts.stream_place(user, conversation) if started.after is None else str(started.after)
        return JSONResponse({"request_id": key, "last_event_id": place}, 202)
    entries = parts.relay.events(started, user=user, conversation=conversation)
    return parts.streams.of(entries)


@router.get("/events", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}})
async def events(
    user: Reader,
    parts: Parts,
    conversation: ConversationId,
    after: Annotated[str | None, Query(max_length=20)] = None,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> Response:
    """Read what happens in a conversation, from an event on (default: from now on); it does not end by itself."""
    await info_of(parts, user, conversation)
    await parts.log.for_user(user).standing(conversation)  # a log that is away is told before the stream begins
    entries = parts.relay.follow(user=user, conversation=conversation, after=last_event_id or after)
    return parts.streams.of(entries)


@router.post("/stop", status_code=202)
async def stop(user: Writer, parts: Parts, conversation: ConversationId) -> Nothing:
    """Stop the answer, wherever it is being made."""
    await info_of(parts, user, conversation)
    await parts.relay.stop(user=user, conversation=conversation)
    return Nothing()


@router.post("/approvals/{call_id}", status_code=202)
async def decide(
    user: Writer, parts: Parts, conversation: ConversationId, call_id: str, decision: DecisionIn
) -> Nothing:
    """Allow or refuse a call that waits; the turn then goes on, and streams."""
    await info_of(parts, user, conversation)
    handle = parts.assistant.conversation(conversation, user=user)
    record = handle.approve if decision.approve else handle.deny
    try:
        await record(call_id, by=user, digest=decision.digest)
    except InputError as error:
        raise Conflict("no such call waits for a decision: what waits may have changed since it was shown") from error
    await parts.relay.resume(user=user, conversation=conversation)
    return Nothing()


async def _files(parts: Service, user: str, ids: Sequence[str]) -> Sequence[Attached]:
    """Return the files that a message mentions. Raises NotFound for those of anybody else."""
    found: list[Attached] = []
    for name in ids:
        info = await uploaded(parts, user, name)
        found.append(Attached(id=info.id, name=info.name))
    return found


def _title(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TITLE else line[: _TITLE - 1].rstrip() + "…"
