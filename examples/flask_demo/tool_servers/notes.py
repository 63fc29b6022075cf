"""The notes of a user: each is a text file in the artifact store, named by its title.

A table says which artifact is the note of a title now. It knows no titles, only their hashes: what a user has written
is in the artifact store alone, which encrypts it.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Final

import anyio
from anyio import to_thread
from pydantic import BaseModel, Field
from sqlalchemy import Engine, delete, func, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field as Column
from sqlmodel import Session, col, select

from assistant_kit import ToolContext, ToolError, keyed, tool
from assistant_kit.protocols.artifact_store import Artifact, ArtifactNotFound, ArtifactStore
from assistant_kit.protocols.toolset import Toolset
from assistant_kit.protocols.user_data import UserData
from assistant_kit.toolsets.functions import FunctionTools
from examples.flask_demo.tables import Kept, Table

MOST_NOTES: Final = 500
"""Notes of one user."""
LARGEST: Final = 50_000
"""Bytes of a note."""
MEDIA_TYPE: Final = "text/markdown; charset=utf-8"
_KEPT: Final = 86_400.0  # seconds for which a repeated call is recognised
_ATTEMPTS: Final = 10  # at a note that others change as well
_CLEANING: Final = 10.0  # seconds

Title = Annotated[str, Field(description="The title of the note", min_length=1, max_length=100)]
Written = Annotated[str, Field(description="What it says", min_length=1, max_length=LARGEST)]


class NoteRow(Table, table=True):
    """Which artifact is the note of a title now, and which call has made it so."""

    __tablename__ = "web_note"  # pyright: ignore[reportAssignmentType]  (as SQLModel means it)

    id: str = Column(primary_key=True, max_length=64)
    user: str = Column(max_length=64, index=True)
    artifact: str = Column(max_length=40)
    made_by: str = Column(max_length=64)


class NoteInfo(BaseModel):
    """A note, as a list shows it. `size` is in bytes, `changed` a time of UTC."""

    title: str
    size: int
    changed: str


class Note(NoteInfo):
    """A note with what it says."""

    text: str


class Notes(Kept):
    """The notes of all users. Methods raise ToolError, StoreError, SQLAlchemyError."""

    table = NoteRow

    def __init__(self, engine: Engine, artifacts: ArtifactStore) -> None:
        """Take the database, and the place for the texts; the caller closes the latter."""
        super().__init__(engine)
        self._artifacts = artifacts

    async def create(self, user: str, key: str, title: str, text: str) -> NoteInfo:
        """Write a note under a new title; once, however often it comes under one key."""
        title = _title(title)
        for _ in range(_ATTEMPTS):
            row = await to_thread.run_sync(self._row, user, title)
            known = None if row is None else await self._info(user, row)
            if row is not None and known is not None:
                return _once(row, key, known)
            made = await self._put(user, title, text)
            new = NoteRow(id=_name(user, title), user=user, artifact=made.id, made_by=_mark(user, key))
            if await self._settled(user, made, row, new):
                return _shown(made)
        raise _contended(title)

    async def every(self, user: str) -> Sequence[NoteInfo]:
        """Return all notes of a user, what has changed last before the others."""
        rows = await to_thread.run_sync(self._rows, user)
        kept = await self._kept(user)
        for row in rows:
            if row.artifact not in kept:  # the user was erased, or the note has just been changed: then it stays
                await to_thread.run_sync(self._delete, row)
        found = [kept[row.artifact] for row in rows if row.artifact in kept]
        return [_shown(one) for one in sorted(found, key=lambda one: one.created_at, reverse=True)]

    async def read(self, user: str, title: str) -> Note:
        """Return a note."""
        _, info, text = await self._current(user, _title(title))
        return Note(**_shown(info).model_dump(), text=text)

    async def append(self, user: str, key: str, title: str, text: str) -> NoteInfo:
        """Add lines to a note; once, as long as nobody else has changed it since."""
        title = _title(title)
        for _ in range(_ATTEMPTS):
            row, info, before = await self._current(user, title)
            if row.made_by == _mark(user, key):
                return _shown(info)
            made = await self._put(user, info.name, f"{before}\n{text}")
            new = NoteRow(id=row.id, user=user, artifact=made.id, made_by=_mark(user, key))
            if await self._settled(user, made, row, new):
                await self._artifacts.for_user(user).delete(row.artifact)
                return _shown(made)
        raise _contended(title)

    async def delete(self, user: str, title: str) -> bool:
        """Delete a note, and tell whether there was one."""
        row = await to_thread.run_sync(self._row, user, _title(title))
        if row is None or not await to_thread.run_sync(self._delete, row):
            return False
        return await self._artifacts.for_user(user).delete(row.artifact)

    def users(self) -> Sequence[str]:
        """Return who has notes."""
        with Session(self._engine) as session:
            return session.exec(select(NoteRow.user).distinct().order_by(NoteRow.user)).all()

    async def erase(self, user: str) -> None:
        """Delete all notes of a user; may be repeated."""
        await to_thread.run_sync(self._erase, user)
        await self._artifacts.erase_user(user)

    async def export(self, user: str) -> AsyncIterator[UserData]:
        """Return the notes of a user, with their bytes in base64."""
        async for kept in self._artifacts.export_user(user):
            if isinstance(kept, UserData):
                yield kept

    async def _put(self, user: str, title: str, text: str) -> Artifact:
        data = text.encode(errors="replace")
        if len(data) > LARGEST:
            raise ToolError(f"a note may have {LARGEST} bytes, and this would be {len(data)}: begin another one")
        return await self._artifacts.for_user(user).put(data, name=title, media_type=MEDIA_TYPE)

    async def _settled(self, user: str, made: Artifact, before: NoteRow | None, after: NoteRow) -> bool:
        """Make an artifact the note of its title, if the title stands as it was; else the artifact goes again."""
        done = False
        try:
            done = await to_thread.run_sync(self._write, before, after)
        finally:
            if not done:
                with anyio.CancelScope(shield=True), anyio.move_on_after(_CLEANING):
                    await self._artifacts.for_user(user).delete(made.id)
        return done

    async def _info(self, user: str, row: NoteRow) -> Artifact | None:
        try:
            return await self._artifacts.for_user(user).info(row.artifact)
        except ArtifactNotFound:  # the user was erased
            return None

    async def _current(self, user: str, title: str) -> tuple[NoteRow, Artifact, str]:
        """Return the note of a title with what it says. Raises ToolError."""
        seen = ""
        while True:
            row = await to_thread.run_sync(self._row, user, title)
            if row is None or row.artifact == seen:  # there is none, or the user was erased
                raise ToolError(f"there is no note {title!r}: list_notes tells which there are")
            with suppress(ArtifactNotFound):  # it may have been changed since
                async with self._artifacts.for_user(user).open(row.artifact) as reader:
                    return row, reader.artifact, b"".join([piece async for piece in reader]).decode()
            seen = row.artifact

    async def _kept(self, user: str) -> Mapping[str, Artifact]:
        owned, found, after = self._artifacts.for_user(user), dict[str, Artifact](), ""
        while page := await owned.list(after=after, limit=MOST_NOTES):
            found |= {artifact.id: artifact for artifact in page}
            after = page[-1].id
        return found

    def _row(self, user: str, title: str) -> NoteRow | None:
        with Session(self._engine) as session:
            return session.get(NoteRow, _name(user, title))

    def _rows(self, user: str) -> Sequence[NoteRow]:
        with Session(self._engine) as session:
            return session.exec(select(NoteRow).where(col(NoteRow.user) == user)).all()

    def _write(self, before: NoteRow | None, after: NoteRow) -> bool:
        with Session(self._engine) as session:
            if before is not None:
                values = {"artifact": after.artifact, "made_by": after.made_by}
                same = (col(NoteRow.id) == before.id, col(NoteRow.artifact) == before.artifact)
                changed = session.exec(update(NoteRow).where(*same).values(values))
                session.commit()
                return bool(changed.rowcount)
            if session.exec(select(func.count()).where(col(NoteRow.user) == after.user)).one() >= MOST_NOTES:
                raise ToolError(f"there are {MOST_NOTES} notes: delete some first")
            session.add(after)
            try:
                session.commit()
            except IntegrityError:  # somebody else was faster
                session.rollback()
                return False
        return True

    def _erase(self, user: str) -> None:
        with Session(self._engine) as session:
            session.exec(delete(NoteRow).where(col(NoteRow.user) == user))
            session.commit()

    def _delete(self, row: NoteRow) -> bool:
        with Session(self._engine) as session:
            same = (col(NoteRow.id) == row.id, col(NoteRow.artifact) == row.artifact)
            done = session.exec(delete(NoteRow).where(*same))
            session.commit()
            return bool(done.rowcount)


def notes_tools(notes: Notes) -> Toolset:
    """Return the tools."""

    @tool(effect=keyed(_KEPT))
    async def create_note(context: ToolContext, title: Title, text: Written) -> NoteInfo:
        """Write a note for the user, under a title that no other note of theirs has."""
        return await notes.create(_user(context), context.idempotency_key, title, text)

    @tool(effect="read")
    async def list_notes(context: ToolContext) -> list[NoteInfo]:
        """List the titles of all notes of the user."""
        return list(await notes.every(_user(context)))

    @tool(effect="read")
    async def read_note(context: ToolContext, title: Title) -> Note:
        """Read a note of the user by its title."""
        return await notes.read(_user(context), title)

    @tool(effect=keyed(_KEPT))
    async def append_to_note(context: ToolContext, title: Title, text: Written) -> NoteInfo:
        """Add a line to the end of a note of the user."""
        return await notes.append(_user(context), context.idempotency_key, title, text)

    @tool(effect="idempotent")
    async def delete_note(context: ToolContext, title: Title) -> str:
        """Delete a note of the user for good."""
        return "deleted" if await notes.delete(_user(context), title) else "there is no such note (any more)"

    return FunctionTools([create_note, list_notes, read_note, append_to_note, delete_note])


def _title(title: str) -> str:
    """Return a title in one line, as it is shown. Raises ToolError."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in title).split())
    if not line:
        raise ToolError("a note needs a title that can be read")
    return line


def _name(user: str, title: str) -> str:
    return hashlib.sha256(f"{user}\0{title.casefold()}".encode()).hexdigest()


def _mark(user: str, key: str) -> str:
    return hashlib.sha256(f"{user}\0{key}".encode()).hexdigest()


def _once(row: NoteRow, key: str, known: Artifact) -> NoteInfo:
    """Return the note if this call has made it. Raises ToolError."""
    if row.made_by != _mark(row.user, key):
        raise ToolError(f"there is a note {known.name!r} already: choose another title, or append to it")
    return _shown(known)


def _contended(title: str) -> ToolError:
    return ToolError(f"the note {title!r} is being changed by others all the time: try again later")


def _user(context: ToolContext) -> str:
    if context.user is None:
        raise ToolError("notes belong to a user: say who you are")
    return context.user


def _shown(artifact: Artifact) -> NoteInfo:
    changed = datetime.fromtimestamp(artifact.created_at, UTC).isoformat(timespec="seconds")
    return NoteInfo(title=artifact.name, size=artifact.size, changed=changed)
