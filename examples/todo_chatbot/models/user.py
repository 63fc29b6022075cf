"""Those who use the app, and the tokens by which they stay logged in."""

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from sqlmodel import Field, Relationship, SQLModel

from examples.todo_chatbot.models.columns import UTCDateTime, now

if TYPE_CHECKING:
    from examples.todo_chatbot.models.conversation import Conversation
    from examples.todo_chatbot.models.message import Message


class User(SQLModel, table=True):
    """Somebody who signed up. Without a password hash nobody can log in: the user of the terminal."""

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    email: str = Field(max_length=254, unique=True, index=True)
    password_hash: str | None = Field(default=None, max_length=256)
    created_at: datetime = Field(default_factory=now, sa_type=UTCDateTime)

    conversations: list["Conversation"] = Relationship(back_populates="user", cascade_delete=True)
    messages: list["Message"] = Relationship(back_populates="user", cascade_delete=True)


class RefreshToken(SQLModel, table=True):
    """A refresh token, by its hash. It is used once; all that follow from one log-in are a family."""

    __tablename__ = "refresh_token"  # pyright: ignore[reportAssignmentType]  (as SQLModel means it)

    token_hash: str = Field(primary_key=True, max_length=64)
    user_id: UUID = Field(foreign_key="user.id", index=True, ondelete="CASCADE")
    family: UUID = Field(index=True)
    expires_at: datetime = Field(sa_type=UTCDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
