"""Who has used the service, and when: ids only, as names and addresses stay in the front end's sessions."""

from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Final

from sqlalchemy import Engine, delete, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, col, select

from examples.flask_demo.tables import Kept, Table

_NEAR: Final = timedelta(minutes=1)
"""How far the time in the table may be behind: a write for each request would say no more."""
_REMEMBERED: Final = 10_000


class User(Table, table=True):
    """Somebody who has signed in. Times are UTC, as ISO 8601: SQLite keeps no time zone."""

    __tablename__ = "web_user"  # pyright: ignore[reportAssignmentType]  (as SQLModel means it)

    id: str = Field(primary_key=True, max_length=64)
    first_seen: str = Field(max_length=40)
    last_seen: str = Field(max_length=40)


class Users(Kept):
    """The table of users. Each method is one transaction and may run in any thread. Raises SQLAlchemyError."""

    table = User

    def __init__(self, engine: Engine) -> None:
        """Take the database."""
        super().__init__(engine)
        self._lock = Lock()
        self._noted: OrderedDict[str, datetime] = OrderedDict()

    def seen(self, user: str) -> None:
        """Note that somebody uses the service now."""
        now = datetime.now(UTC)
        with self._lock:
            if now - self._noted.get(user, datetime.min.replace(tzinfo=UTC)) < _NEAR:
                return
        self._note(user, now.isoformat(timespec="seconds"))
        with self._lock:
            self._noted[user] = now
            self._noted.move_to_end(user)
            if len(self._noted) > _REMEMBERED:
                self._noted.popitem(last=False)

    def get(self, user: str) -> User | None:
        """Return what is known of somebody."""
        with Session(self._engine, expire_on_commit=False) as session:
            return session.get(User, user)

    def ids(self) -> list[str]:
        """Return the ids of all."""
        with Session(self._engine) as session:
            return list(session.exec(select(User.id)))

    def forget(self, user: str) -> None:
        """Delete somebody."""
        with Session(self._engine) as session, session.begin():
            session.exec(delete(User).where(col(User.id) == user))
        with self._lock:
            self._noted.pop(user, None)

    def _note(self, user: str, at: str) -> None:
        if not self._update(user, at):
            try:
                with Session(self._engine) as session, session.begin():
                    session.add(User(id=user, first_seen=at, last_seen=at))
            except IntegrityError:  # another instance was faster
                self._update(user, at)

    def _update(self, user: str, at: str) -> bool:
        with Session(self._engine) as session, session.begin():
            changed = session.exec(update(User).where(col(User.id) == user).values(last_seen=at))
            return bool(changed.rowcount)
