"""In which conversation a message belongs, also when it is sent again."""

import json
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from sqlmodel import Session, col, delete

from examples.todo_chatbot.database import Database
from examples.todo_chatbot.models.chat_request import ChatRequest
from examples.todo_chatbot.models.columns import now
from examples.todo_chatbot.services.conversation_service import begun, found
from examples.todo_chatbot.services.errors import Conflict

KEPT = timedelta(days=2)  # how long a repeated key is known


class ChatRequests:
    """Finds or begins conversations. Each method is one transaction and may run in any thread."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    def conversation_of(self, user: UUID, conversation: int | None, message: str, *, key: str | None = None) -> int:
        """Return the conversation in which a message is said: a new one for None.

        The same message again under the same key belongs where it did; another one raises Conflict. Raises NotFound.
        """
        with self._database.writing() as session:
            if key is None:
                return _conversation(session, user, conversation)
            self._database.lock(session, f"chat_request/{user}/{key}")
            digest = sha256(json.dumps([conversation, message]).encode()).hexdigest()
            known = session.get(ChatRequest, (user, key))
            if known is not None:
                if known.digest != digest:
                    raise Conflict("this idempotency key belongs to another message: give a new one")
                return _conversation(session, user, known.conversation_id)
            session.exec(
                delete(ChatRequest).where(col(ChatRequest.user_id) == user, col(ChatRequest.created_at) < now() - KEPT)
            )
            number = _conversation(session, user, conversation)
            session.add(ChatRequest(user_id=user, request_key=key, digest=digest, conversation_id=number))
            return number


def _conversation(session: Session, user: UUID, number: int | None) -> int:
    conversation = begun(session, user) if number is None else found(session, user, number)
    assert conversation.id is not None  # noqa: S101  (it is stored)
    return conversation.id
