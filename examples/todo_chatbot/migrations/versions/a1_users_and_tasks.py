"""Users and their tasks: the todo app before it had an assistant."""

from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "a1"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def _of_a_user() -> sa.Column[UUID]:
    return sa.Column("user_id", sa.Uuid(), sa.ForeignKey("user.id", ondelete="CASCADE"), nullable=False)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "user",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("password_hash", sa.String(256)),
        sa.Column("created_at", _MOMENT, nullable=False),
    )
    op.create_index("ix_user_email", "user", ["email"], unique=True)
    op.create_table(
        "refresh_token",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        _of_a_user(),
        sa.Column("family", sa.Uuid(), nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("used_at", _MOMENT),
    )
    op.create_index("ix_refresh_token_user_id", "refresh_token", ["user_id"])
    op.create_index("ix_refresh_token_family", "refresh_token", ["family"])
    op.create_table(
        "task",
        sa.Column("id", sa.Integer(), primary_key=True),
        _of_a_user(),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("description", sa.String(2000), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sqlite_autoincrement=True,  # the number of a deleted task is not given again
    )
    op.create_index("ix_task_user_id", "task", ["user_id"])


def downgrade() -> None:
    """Drop the tables."""
    for table in ("task", "refresh_token", "user"):
        op.drop_table(table)
