"""The conversations of users. One of another user is the same as one that does not exist."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, delete, select

from examples.todo_chatbot.database import Database
from examples.todo_chatbot.models import Conversation
from examples.todo_chatbot.models.columns import is_id, nearest_id
from examples.todo_chatbot.services.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationView:
    """A conversation as it is shown."""

    id: int
    created_at: datetime
    updated_at: datetime


class ConversationService:
    """Each method is one transaction and may run in any thread."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    def create(self, user: UUID) -> ConversationView:
        """Begin a conversation."""
        with self._database.writing() as session:
            return _view(begun(session, user))

    def get(self, user: UUID, conversation: int) -> ConversationView:
        """Return a conversation. Raises NotFound."""
        with self._database.reading() as session:
            return _view(found(session, user, conversation))

    def list(self, user: UUID, *, limit: int = 50, before: int | None = None) -> tuple[ConversationView, ...]:
        """Return a user's conversations, the newest first; `before` is the id to go on from."""
        query = select(Conversation).where(Conversation.user_id == user).order_by(col(Conversation.id).desc())
        if before is not None:
            query = query.where(col(Conversation.id) < nearest_id(before))
        with self._database.reading() as session:
            return tuple(_view(each) for each in session.exec(query.limit(limit)))

    def delete(self, user: UUID, conversation: int) -> None:
        """Delete a conversation with its messages. Raises NotFound."""
        with self._database.writing() as session:
            session.exec(delete(Conversation).where(col(Conversation.id) == found(session, user, conversation).id))


def begun(session: Session, user: UUID) -> Conversation:
    """Return a new conversation, which has its number."""
    conversation = Conversation(user_id=user)
    session.add(conversation)
    session.flush()
    return conversation


def found(session: Session, user: UUID, conversation: int) -> Conversation:
    """Return a conversation of a user. Raises NotFound."""
    query = select(Conversation).where(Conversation.id == conversation, Conversation.user_id == user)
    row = session.exec(query).first() if is_id(conversation) else None
    if row is None:
        raise NotFound(f"there is no conversation {conversation}")
    return row


def _view(conversation: Conversation) -> ConversationView:
    assert conversation.id is not None  # noqa: S101  (it is stored)
    return ConversationView(id=conversation.id, created_at=conversation.created_at, updated_at=conversation.updated_at)
