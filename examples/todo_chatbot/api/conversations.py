"""The conversations of a user with the assistant."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from assistant_kit import ConversationNotFound
from examples.todo_chatbot.api.access import Owner, Parts
from examples.todo_chatbot.api.errors import documented
from examples.todo_chatbot.models import Role

router = APIRouter(
    prefix="/api/{user_id}/conversations", tags=["conversations"], responses=documented(401, 403, 422, 503)
)

Limit = Annotated[int, Query(ge=1, le=100)]
Before = Annotated[int | None, Query(ge=1, description="The smallest id of the page before this one")]


class ConversationOut(BaseModel):
    """A conversation."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    created_at: datetime
    updated_at: datetime


class MessageOut(BaseModel):
    """What somebody said."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    role: Role
    content: str
    created_at: datetime


@router.get("")
def list_conversations(user: Owner, parts: Parts, limit: Limit = 50, before: Before = None) -> list[ConversationOut]:
    """List conversations, the newest first."""
    return [ConversationOut.model_validate(one) for one in parts.conversations.list(user, limit=limit, before=before)]


@router.get("/{conversation_id}/messages", responses=documented(404))
def list_messages(
    user: Owner, parts: Parts, conversation_id: int, limit: Limit = 100, before: Before = None
) -> list[MessageOut]:
    """List the newest messages, the oldest of them first."""
    parts.conversations.get(user, conversation_id)
    messages = parts.messages.list(user, conversation_id, limit=limit, before=before)
    return [MessageOut.model_validate(one) for one in messages]


@router.delete("/{conversation_id}", status_code=204, responses=documented(404, 409))
async def delete_conversation(user: Owner, parts: Parts, conversation_id: int) -> None:
    """Delete a conversation with all that was said, unless it is being answered just now."""
    await to_thread.run_sync(parts.conversations.get, user, conversation_id)
    journal = parts.assistant.conversation(str(conversation_id), user=str(user))
    with suppress(ConversationNotFound):
        await journal.delete()
    await to_thread.run_sync(parts.conversations.delete, user, conversation_id)
    with suppress(ConversationNotFound):  # a message that came in between; from now on none can
        await journal.delete()
