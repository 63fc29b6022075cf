"""The tasks of all users, in SQLite. A task of another user is the same as one that does not exist."""

import sqlite3
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

TITLE_LIMIT = 200  # characters
DESCRIPTION_LIMIT = 2_000
_LARGEST_ID = 2**63 - 1  # of SQLite
_BUSY = 5.0  # seconds that a writer waits for another one
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    request_key TEXT,
    UNIQUE (user_id, request_key)
)
"""
_COLUMNS = "id, title, description, done, created_at, updated_at"

Status: TypeAlias = Literal["all", "open", "done"]


class TaskServiceError(Exception):
    """The root of what the task service raises; its text is for the user."""


class TaskNotFound(TaskServiceError):
    """This user has no such task."""

    def __init__(self, task_id: int) -> None:
        super().__init__(f"there is no task {task_id}")
        self.task_id = task_id


class InvalidTask(TaskServiceError):
    """A task cannot be like that."""


class TasksUnavailable(TaskServiceError):
    """The database cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing to do. Times are ISO 8601 in UTC."""

    id: int
    title: str
    description: str
    done: bool
    created_at: str
    updated_at: str


class TaskService:
    """The one place where tasks are read and changed. Each method is one transaction and may run in any thread."""

    def __init__(self, database: Path) -> None:
        """Open the database, made if there is none. Raises TasksUnavailable."""
        self._database = database
        with self._connection() as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(_SCHEMA)

    def add(self, user: str, title: str, description: str = "", *, request_key: str | None = None) -> Task:
        """Add a task. The same `request_key` again gives the task that was added before."""
        title, description, now = _title(title), _description(description), _now()
        with self._connection() as db:
            row = db.execute(
                f"INSERT INTO tasks (user_id, title, description, created_at, updated_at, request_key)"  # noqa: S608  (constants)
                f" VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (user_id, request_key) DO UPDATE SET done = done"
                f" RETURNING {_COLUMNS}",
                (user, title, description, now, now, request_key),
            ).fetchone()
        return _task(row)

    def list(self, user: str, status: Status = "all") -> tuple[Task, ...]:
        """Return a user's tasks, the oldest first."""
        condition = {"all": "", "open": " AND NOT done", "done": " AND done"}[status]
        with self._connection() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM tasks WHERE user_id = ?{condition} ORDER BY id", (user,))  # noqa: S608  (constants)
            return tuple(_task(row) for row in rows)

    def complete(self, user: str, task_id: int) -> Task:
        """Mark a task as done. Raises TaskNotFound."""
        return self._change(user, task_id, {"done": 1})

    def update(self, user: str, task_id: int, *, title: str | None = None, description: str | None = None) -> Task:
        """Change what is given and leave the rest. Raises TaskNotFound, InvalidTask."""
        changes = {} if title is None else {"title": _title(title)}
        if description is not None:
            changes["description"] = _description(description)
        if not changes:
            raise InvalidTask("nothing to change: give a new title or a new description")
        return self._change(user, task_id, changes)

    def delete(self, user: str, task_id: int) -> Task:
        """Delete a task and return what it was. Raises TaskNotFound."""
        with self._connection() as db:
            row = db.execute(
                f"DELETE FROM tasks WHERE user_id = ? AND id = ? RETURNING {_COLUMNS}",  # noqa: S608  (constants)
                (user, _storable(task_id)),
            ).fetchone()
        if row is None:
            raise TaskNotFound(task_id)
        return _task(row)

    def _change(self, user: str, task_id: int, changes: Mapping[str, str | int]) -> Task:
        assignments = ", ".join(f"{column} = ?" for column in (*changes, "updated_at"))
        with self._connection() as db:
            row = db.execute(
                f"UPDATE tasks SET {assignments} WHERE user_id = ? AND id = ? RETURNING {_COLUMNS}",  # noqa: S608  (constants)
                (*changes.values(), _now(), user, _storable(task_id)),
            ).fetchone()
        if row is None:
            raise TaskNotFound(task_id)
        return _task(row)

    @contextmanager
    def _connection(self) -> Generator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._database, timeout=_BUSY)) as db, db:
                yield db
        except sqlite3.Error as error:
            raise TasksUnavailable(f"the task database {self._database} cannot be used: {error}") from error


def _title(text: str) -> str:
    title = " ".join(text.split())
    if not title:
        raise InvalidTask("a task needs a title")
    return _text(title, "title", TITLE_LIMIT)


def _description(text: str) -> str:
    return _text(text.strip(), "description", DESCRIPTION_LIMIT)


def _text(text: str, what: str, limit: int) -> str:
    if len(text) > limit:
        raise InvalidTask(f"the {what} has {len(text)} characters and may have {limit}: shorten it")
    if any(not char.isprintable() and char not in "\n\t" for char in text):
        raise InvalidTask(f"the {what} contains characters that cannot be shown: leave them out")
    return text


def _storable(task_id: int) -> int:
    if not 0 < task_id <= _LARGEST_ID:
        raise TaskNotFound(task_id)
    return task_id


def _task(row: tuple[int, str, str, int, str, str]) -> Task:
    number, title, description, done, created_at, updated_at = row
    return Task(
        id=number, title=title, description=description, done=bool(done), created_at=created_at, updated_at=updated_at
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
