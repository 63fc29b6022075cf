"""Runs the migrations, on the connection that `Database.migrate` gives."""

from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

from examples.todo_chatbot import models as _models

_OURS = frozenset(SQLModel.metadata.tables)
"""Everything else in the database is left alone: the assistant's journal has tables of its own."""


def _is_ours(_item: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:  # noqa: FBT001
    return kind != "table" or name in _OURS


def run(connection: Connection) -> None:
    """Bring the tables to the revision that was asked for."""
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        include_object=_is_ours,
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=False,  # whoever gave the connection has begun a transaction, and ends it
    )
    context.run_migrations()


assert _models  # noqa: S101  (its import has told the metadata of the tables)
run(context.config.attributes["connection"])
