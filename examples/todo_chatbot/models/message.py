"""What was said: rows for the rest of the product to read. They are written with the journal: see message_rows.py."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Enum, Text
from sqlmodel import Field, Relationship, SQLModel

from examples.todo_chatbot.models.columns import UTCDateTime, now

if TYPE_CHECKING:
    from examples.todo_chatbot.models.conversation import Conversation
    from examples.todo_chatbot.models.user import User


class Role(StrEnum):
    """Who said it."""

    USER = "user"
    ASSISTANT = "assistant"


def _values(roles: type[Role]) -> list[str]:
    return [role.value for role in roles]


_ROLE = Enum(Role, native_enum=False, length=16, values_callable=_values)


class Message(SQLModel, table=True):
    """A message of a conversation."""

    id: int | None = Field(default=None, primary_key=True)
    user_id: UUID = Field(foreign_key="user.id", index=True, ondelete="CASCADE")
    conversation_id: int = Field(foreign_key="conversation.id", index=True, ondelete="CASCADE")
    role: Role = Field(sa_type=_ROLE)
    content: str = Field(sa_type=Text)
    created_at: datetime = Field(default_factory=now, sa_type=UTCDateTime)

    user: "User" = Relationship(back_populates="messages")
    conversation: "Conversation" = Relationship(back_populates="messages")
