"""Conversations with the assistant, their messages, and the keys under which tasks were changed."""

from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "a2"
down_revision = "a1"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def _of_a_user(*, primary_key: bool = False) -> sa.Column[UUID]:
    user = sa.ForeignKey("user.id", ondelete="CASCADE")
    return sa.Column("user_id", sa.Uuid(), user, nullable=False, primary_key=primary_key)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "conversation",
        sa.Column("id", sa.Integer(), primary_key=True),
        _of_a_user(),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sqlite_autoincrement=True,  # the journal of a deleted conversation is never that of a new one
    )
    op.create_index("ix_conversation_user_id", "conversation", ["user_id"])
    conversation = sa.ForeignKey("conversation.id", ondelete="CASCADE")
    op.create_table(
        "message",
        sa.Column("id", sa.Integer(), primary_key=True),
        _of_a_user(),
        sa.Column("conversation_id", sa.Integer(), conversation, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.CheckConstraint("role IN ('user', 'assistant')", name="message_role"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_message_user_id", "message", ["user_id"])
    op.create_index("ix_message_conversation_id", "message", ["conversation_id"])
    op.create_table(
        "task_request",
        _of_a_user(primary_key=True),
        sa.Column("request_key", sa.String(200), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
    )
    op.create_index("ix_task_request_created_at", "task_request", ["created_at"])


def downgrade() -> None:
    """Drop the tables."""
    for table in ("task_request", "message", "conversation"):
        op.drop_table(table)
