"""The messages of conversations, as the rest of the product reads them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import col, select

from examples.todo_chatbot.database import Database
from examples.todo_chatbot.models import Message, Role
from examples.todo_chatbot.models.columns import nearest_id


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    """A message as it is shown."""

    id: int
    role: Role
    content: str
    created_at: datetime


class MessageService:
    """Reads messages. They are written with the assistant's journal, in one transaction: message_rows.py."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    def list(
        self, user: UUID, conversation: int, *, limit: int = 100, before: int | None = None
    ) -> tuple[MessageView, ...]:
        """Return the newest messages of a conversation, the oldest of them first; `before` is an id to go back from.

        There are none in the conversation of another user.
        """
        query = select(Message).where(Message.user_id == user, Message.conversation_id == nearest_id(conversation))
        if before is not None:
            query = query.where(col(Message.id) < nearest_id(before))
        with self._database.reading() as session:
            newest = session.exec(query.order_by(col(Message.id).desc()).limit(limit)).all()
            return tuple(
                MessageView(id=one.id or 0, role=one.role, content=one.content, created_at=one.created_at)
                for one in reversed(newest)
            )
