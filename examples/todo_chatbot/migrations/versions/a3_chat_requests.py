"""The keys under which messages to the assistant were sent."""

import sqlalchemy as sa
from alembic import op

revision = "a3"
down_revision = "a2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    user = sa.ForeignKey("user.id", ondelete="CASCADE")
    op.create_table(
        "chat_request",
        sa.Column("user_id", sa.Uuid(), user, primary_key=True, nullable=False),
        sa.Column("request_key", sa.String(200), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("conversation_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("chat_request")
