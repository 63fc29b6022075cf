"""A conversation, as the application holds it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Generic, TypeVar, Unpack

from assistant_kit.assembly import Assembly, Emit
from assistant_kit.decisions import close, decide, find_turn, resolve, rewind, unknown_calls
from assistant_kit.errors import InputError
from assistant_kit.journal_reader import JournalReader
from assistant_kit.messages import JsonObject, Text, UserInput
from assistant_kit.protocols.store import ConversationInfo, UserStore
from assistant_kit.run.emitter import ignore
from assistant_kit.run.history import HistoryTurn
from assistant_kit.run.masking import told
from assistant_kit.run.options import ConversationOptions, RunOptions
from assistant_kit.run.result import CallResult, Result
from assistant_kit.run.stream import RunStream
from assistant_kit.session import Session
from assistant_kit.transfer import export_conversation
from assistant_kit.transfer.belongings import delete_whole

OutputT = TypeVar("OutputT")


class Conversation(Generic[OutputT]):
    """A user's conversation with an assistant."""

    def __init__(self, assembly: Assembly[OutputT], conversation: str, user: str) -> None:
        """Name a conversation; it begins with the first run. Raises ConfigurationError when there is no store."""
        self._assembly = assembly
        self._store = assembly.user_store(user)
        self._journal = JournalReader(self._store, conversation)
        self._masks = assembly.masks(user)
        self.id = conversation
        self.user = user

    async def run(self, message: UserInput, **options: Unpack[ConversationOptions]) -> Result[OutputT]:
        """Run a turn in this conversation."""
        return await self._assembly.run(message, self._options(options))

    def stream(self, message: UserInput, **options: Unpack[ConversationOptions]) -> RunStream[OutputT]:
        """Run a turn in this conversation and read its events."""
        return self._assembly.stream(message, self._options(options))

    async def resume(self, *, timeout: float | None = None) -> Result[OutputT]:
        """Go on with a turn that was interrupted, or that waited for a decision."""
        return await self._resume(ignore, stream=False, timeout=timeout)

    def stream_resumed(self, *, timeout: float | None = None) -> RunStream[OutputT]:
        """Go on with an interrupted or waiting turn and read its events."""
        return self._assembly.read(lambda emit: self._resume(emit, stream=True, timeout=timeout), self.user)

    async def retry(self, *, timeout: float | None = None) -> Result[OutputT]:
        """Try once more to finish a turn that was parked. Raises InputError if there is none."""
        session = await self._assembly.session(self.user, self.id, timeout=timeout)
        return await told(session.about.masks, session.retry())

    async def close(self, *, reason: str = "closed by hand") -> None:
        """End an unfinished turn (parked, waiting, interrupted) without an answer. Raises InputError if none is."""
        await close(await self._session(), reason=await self._masked(reason))

    async def approve(self, call_id: str, *, by: str = "", digest: str | None = None) -> None:
        """Allow a tool call that waits for approval; `resume` then makes it, in any process.

        `digest` is that of the `approval_required` event: with it, nothing but what was shown is approved. Raises
        InputError if no such call waits.
        """
        await decide(await self._session(), call_id, approved=True, by=await self._masked(by), digest=digest)

    async def deny(self, call_id: str, *, by: str = "", digest: str | None = None) -> None:
        """Refuse a tool call that waits for approval; `resume` then tells the model."""
        await decide(await self._session(), call_id, approved=False, by=await self._masked(by), digest=digest)

    async def resolve(self, call_id: str, *, happened: bool, result: str, by: str = "") -> None:
        """Say what became of a tool call whose outcome was unknown; later turns tell the model so.

        `call_id` is the call's id, or `turn/key` where ids repeat; `result` is what the model reads. The call is not
        made again, whatever is said. Raises InputError when there is no such call.
        """
        content = (Text(text=await self._masked(result)),)
        outcome = "ok" if happened else "error"
        await resolve(await self._session(), call_id, outcome=outcome, content=content, by=await self._masked(by))

    async def unknown_calls(self) -> Sequence[tuple[str, CallResult]]:
        """Return the calls whose outcome nobody knows yet, each with its name for `resolve`."""
        calls = await unknown_calls(self._journal)
        return calls if self._masks is None else await self._masks.calls(calls)

    async def history(
        self, *, limit: int | None = None, before: int | None = None, after: int | None = None
    ) -> Sequence[HistoryTurn]:
        """Return turns, the oldest first: all, or a page of `limit` turns.

        The newest page comes without a place; `before=page[0].seq` gives the one before it, `after=page[-1].seq` the
        one after it. Raises ConversationNotFound, UnreadableEntry.
        """
        turns = await self._journal.turns(limit=limit, before=before, after=after)
        return turns if self._masks is None else await self._masks.turns(turns)

    async def info(self) -> ConversationInfo:
        """Return what `Assistant.conversations` shows of this one, by one look at it: its title, state and times.

        Nothing was said in it yet when it has no `records`. Raises ConversationNotFound.
        """
        info = await self._store.info(self.id)
        if self._masks is None:
            return info
        (title,) = await self._masks.values([info.title])
        return replace(info, title=title)

    async def restored(self, kept: JsonObject) -> JsonObject:
        """Put private values back into what was kept of an event of this conversation (`RunStream.as_kept`).

        Without a masker it is what it is. Raises StoreError.
        """
        return kept if self._masks is None else await self._masks.object(kept)

    async def rename(self, title: str) -> None:
        """Give the conversation a title for lists. Raises ConversationNotFound, InputError.

        With a masker it is stored masked.
        """
        await self._store.rename(self.id, await self._masked(title))

    async def fork(self, conversation: str, *, after_turn: str | None = None) -> "Conversation[OutputT]":
        """Begin another conversation that shares what was said up to a turn (default: the last one), and return it.

        Raises ConversationNotFound, ConversationExists, InputError when there is no such finished turn.
        """
        if after_turn is None:
            turns = await self._journal.turns(limit=1)
            if not turns:
                raise InputError(f"conversation {self.id!r} has no turn to fork at: it is empty")
            after_turn = turns[-1].turn
        at = (await find_turn(self._journal, after_turn)).last_seq
        await self._store.fork(self.id, conversation, at=at)
        return Conversation(self._assembly, conversation, self.user)

    async def rewind(self, *, to_turn: str | None) -> None:
        """Forget what came after a turn; with None everything. Forks keep what they share.

        What fails half-way is finished by rewinding again. Raises InputError, ConversationBusy.
        """
        await rewind(await self._session(), to_turn=to_turn, elsewhere=self._stores()[1:])

    def export(self) -> AsyncIterator[str]:
        """Return the conversation, with what belongs to it, as JSON lines. Raises ConversationNotFound.

        With a masker that is as it is stored, with pseudonyms; `Assistant.export_user` has what they stand for.
        """
        return export_conversation(self._store, self.id, elsewhere=self._stores()[1:])

    async def delete(self) -> None:
        """Delete the conversation, with the turns of nested assistants and the whole texts of overlong results.

        What a fork shares stays until that is deleted, too. What fails half-way is finished by deleting again. Raises
        ConversationNotFound, ConversationBusy.
        """
        await delete_whole(self._stores(), self.id)
        self._assembly.forget(self.user, self.id)

    async def _resume(self, emit: Emit, *, stream: bool, timeout: float | None) -> Result[OutputT]:
        session = await self._assembly.session(self.user, self.id, emit, stream=stream, timeout=timeout)
        return await told(session.about.masks, session.resume())

    async def _masked(self, text: str) -> str:
        return text if self._masks is None else await self._masks.words(text)

    def _stores(self) -> Sequence[UserStore]:
        """Return the store of this conversation, and those in which nested assistants have their turns."""
        own = self._assembly.store()
        return (self._store, *(store.for_user(self.user) for store in self._assembly.places.stores if store is not own))

    async def _session(self) -> Session:
        return await self._assembly.session(self.user, self.id)

    def _options(self, options: ConversationOptions) -> RunOptions:
        return RunOptions(user=self.user, conversation=self.id, **options)
