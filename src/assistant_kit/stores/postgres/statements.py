"""The calls of our functions, and a question without one, as statements with the name of the schema in them."""

from collections.abc import Callable
from typing import Any, Final

from assistant_kit.stores.postgres.link import Link
from assistant_kit.stores.postgres.migrations import written
from assistant_kit.stores.postgres.server import Cursor

_NOTE: Final = "bytea bytea bytea"

_FUNCTIONS: Final = {
    "append": (
        "status, records",
        f"text text bigint integer text[] text[] bytea[] integer[] text integer boolean {_NOTE}",
    ),
    "audit_log": ("n, at_us, payload, salt, digest, link", "text bigint integer"),
    "claim": (
        "status, seconds, fence, seq, at, state, open_turn, begun",
        f"text text text float8 text text bytea integer {_NOTE}",
    ),
    "delete": ("status, seconds", f"text text {_NOTE}"),
    "erase": ("status, records", f"text text {_NOTE}"),
    "fork": ("status, records", f"text text text integer {_NOTE}"),
    "list": ("conversation, records, state, created_at, updated_at, title", "text float8 integer"),
    "locate": ("locate", "text text text"),
    "lock_chains": ("lock_chains", "text[]"),
    "read": (
        "seq, record_id, kind, body, tokens, total_tokens, fence, at",
        "text text integer integer bigint integer",
    ),
    "release": ("status", "text text bigint"),
    "rename": ("status", f"text text text {_NOTE}"),
    "renew": ("status", "text text bigint float8"),
    "rewind": ("status, records", f"text text bigint integer {_NOTE}"),
    "undo_claim": ("status", f"text text bigint integer {_NOTE}"),
    "unfinished": ("user_name, conversation, state, updated_at", "text integer"),
    "users": ("users", "text integer"),
}
"""What each answers, and the types of what it takes."""

_QUESTIONS: Final = {
    "info": """
        SELECT conversation, seq, state, created_at, updated_at, title FROM assistant_kit.conversations
        WHERE user_name = %s::text AND conversation = %s::text
    """,
}
"""What is asked of a table as it stands: a function would be a new version of the schema, which has to be installed."""


class Statements:
    """What is sent to one schema."""

    def __init__(self, schema: str) -> None:
        calls = {function: _calling(function) for function in _FUNCTIONS}
        self._statements = {name: written(text, schema).encode() for name, text in (calls | _QUESTIONS).items()}

    def __getitem__(self, function: str) -> bytes:
        """Return the statement that calls a function."""
        return self._statements[function]

    def call(self, function: str, *values: Any) -> Callable[[Link], Cursor]:
        """Return what calls a function in the thread of a connection."""
        statement = self._statements[function]
        return lambda link: link.execute(statement, values)


def _calling(function: str) -> str:
    columns, types = _FUNCTIONS[function]
    values = ", ".join(f"%s::{name}" for name in types.split())
    return " ".join(("SELECT", columns, "FROM", f"assistant_kit.{function}({values})"))
