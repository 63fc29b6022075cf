"""The code that docs/stores.md shows of projections."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import ConversationNotFound, StoreCorrupt
from assistant_kit.protocols.projection import Projected
from assistant_kit.stores.projected import ProjectedStore, said
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.scripted_model import ScriptedModel


# --8<-- [start:projection]
def save_messages(database: sqlite3.Connection, written: Projected) -> None:
    """Write what was said into the table `message`."""
    place = (written.conversation, written.user)
    row = database.execute("SELECT id FROM conversation WHERE id = ? AND user_id = ?", place).fetchone()
    if row is None:  # it was deleted meanwhile, or is another user's
        return
    # What stands there already was left by a conversation that was rewound.
    database.execute("DELETE FROM message WHERE conversation_id = ? AND seq >= ?", (*row, written.seq))
    database.executemany(
        "INSERT INTO message (conversation_id, seq, role, content) VALUES (?, ?, ?, ?)",
        [(*row, message.seq, message.role, message.text) for message in said(written.entries())],
    )


# --8<-- [end:projection]
pytestmark = pytest.mark.anyio

TABLES = """
    CREATE TABLE conversation (id INTEGER PRIMARY KEY, user_id TEXT NOT NULL);
    CREATE TABLE message (
        conversation_id INTEGER NOT NULL REFERENCES conversation, seq INTEGER NOT NULL, role TEXT NOT NULL,
        content TEXT NOT NULL, created_at TEXT DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (conversation_id, seq)
    );
    INSERT INTO conversation VALUES (7, 'ann');
"""


async def test_messages_are_saved_with_the_turns_and_deleted_after_them(tmp_path: Path) -> None:
    app_db = tmp_path / "app.db"
    # --8<-- [start:open]
    store = ProjectedStore(SQLiteStore(app_db, shared=True), save_messages)
    # --8<-- [end:open]
    model = ScriptedModel(["Hello, Ann!", "Fine.", "Here."])
    with closing(sqlite3.connect(app_db)) as database:
        database.executescript(TABLES)

        # --8<-- [start:run]
        assistant = Assistant(model, store=store)
        await assistant.run("Hello", user="ann", conversation="7")
        # --8<-- [end:run]
        await assistant.run("How are you?", user="ann", conversation="7")
        messages = database.execute("SELECT seq, role, content FROM message ORDER BY seq").fetchall()
        assert messages == [
            (1, "user", "Hello"),
            (2, "assistant", "Hello, Ann!"),
            (4, "user", "How are you?"),
            (5, "assistant", "Fine."),
        ]

        await Assistant(ScriptedModel(["Hello, Bob!"]), store=store).run("Hello", user="bob", conversation="7")
        assert database.execute("SELECT seq, role, content FROM message ORDER BY seq").fetchall() == messages

        chat = assistant.conversation("7", user="ann")
        await chat.rewind(to_turn=(await chat.history())[0].turn)
        await assistant.run("Where are you?", user="ann", conversation="7")
        contents = [content for (content,) in database.execute("SELECT content FROM message ORDER BY seq")]
        assert contents == ["Hello", "Hello, Ann!", "Where are you?", "Here."]

        for _ in range(2):
            # --8<-- [start:delete]
            with suppress(ConversationNotFound):  # a deletion that was cut short is repeated
                await chat.delete()
            database.execute("DELETE FROM message WHERE conversation_id = 7")
            database.execute("DELETE FROM conversation WHERE id = 7")
            database.commit()
            # --8<-- [end:delete]
        assert database.execute("SELECT count(*) FROM message").fetchall() == [(0,)]
    await store.aclose()


async def test_a_file_that_the_application_has_made_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "app.db")) as database:
        database.executescript(TABLES)
    store = ProjectedStore(SQLiteStore(tmp_path / "app.db"), save_messages)

    with pytest.raises(StoreCorrupt):
        await store.open()

    await store.aclose()
