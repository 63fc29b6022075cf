"""Those who use a simulated service: they write, lose patience, write again, approve, deny and cheat."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio

from assistant_kit.assistant import Assistant
from assistant_kit.conversation import measure
from assistant_kit.entries import ApprovalDecided
from assistant_kit.errors import (
    ApprovalPending,
    AssistantKitError,
    ConfigurationError,
    InputError,
    Interrupted,
    ModelError,
    RunError,
    StoreError,
    TurnParked,
)
from assistant_kit.events import Event
from assistant_kit.journal_json import encode
from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.run.result import CallResult, Result
from assistant_kit.testing.simulation import ProcessDied
from tests.simulation.ledger import Place, nonce_of
from tests.simulation.rules import Rules
from tests.simulation.script import Message, canary
from tests.simulation.workers import COUNTER, Service, Worker

_TRICKS = ("another user", "another call", "another digest", "a forged record")
_PAUSE = 4.0  # seconds between two tries, at most


class NoAnswer(Exception):
    """Whoever asked has lost patience, or the connection, or found nobody."""


class People:
    """Users, and those who decide for them."""

    def __init__(self, service: Service, workers: list[Worker], say: Callable[..., None]) -> None:
        self._service = service
        self._workers = workers
        self._chance = service.chance
        self._say = say

    async def converse(self, messages: list[Message]) -> None:
        """Say one message after the other."""
        for message in messages:
            await self._get_through(message)
            await self._pause()

    async def _get_through(self, message: Message) -> None:
        """Send a message until there is an answer, or until sending it again might do harm."""
        while await self._has_to_be_sent_again(message):
            await self._pause()

    async def _pause(self) -> None:
        await anyio.sleep(self._chance.random() * _PAUSE)

    async def _has_to_be_sent_again(self, message: Message) -> bool:
        place = (message.user, message.conversation)
        try:
            result = await self._ask(message)
        except (ApprovalPending, TurnParked) as error:
            # It was not accepted: an earlier turn has to be settled first.
            self._say("client", message.ref, type(error).__name__)
            await self._settle(place)
            return True
        except (NoAnswer, StoreError) as error:
            self._say("client", message.ref, type(error).__name__)
            return message.request_id is not None
        except AssistantKitError as error:
            self._say("client", message.ref, type(error).__name__)
            self._told_of(message, error)
        else:
            if result is not None:
                await self._take(message, result)
        return False

    async def _take(self, message: Message, result: Result[Any]) -> None:
        place = (message.user, message.conversation)
        self._say("client", message.ref, f"got {result.status}")
        self._service.rules.replied(message, result)
        if result.status == "waiting":
            await self._decide(place, result)
        elif self._chance.random() < 0.5:
            await self._find_out(place, result)

    def _told_of(self, message: Message, error: AssistantKitError) -> None:
        if isinstance(error, Interrupted):
            self._service.rules.interrupted(message, error)
        elif not isinstance(error, ModelError | RunError):
            self._service.rules.broken("errors", f"{message.ref} met with {error!r}")

    async def _settle(self, place: Place) -> None:
        """Do what an operator does about a conversation that cannot go on by itself."""
        await self._pause()
        if self._chance.random() < 0.5 or not self._service.faults.active:
            await self.look_after(place)

    async def look_after(self, place: Place) -> None:
        """Decide, retry or close what waits or is parked."""
        user, conversation = place
        try:
            turns = await self._at(lambda assistant: assistant.conversation(conversation, user=user).history(), place)
        except (NoAnswer, StoreError):
            return
        if not turns or turns[-1].outcome not in ("waiting", "parked"):
            return
        if turns[-1].outcome == "waiting":
            await self._decide_on(place, [call for call in turns[-1].tool_calls if call.outcome is None])
            return
        self._say("operator", place, turns[-1].outcome)
        closes = self._chance.random() < 0.4
        await self._try(place, lambda chat: chat.close() if closes else chat.retry())

    async def _decide(self, place: Place, result: Result[Any]) -> None:
        await self._pause()
        await self._decide_on(place, result.waiting_for)

    async def _decide_on(self, place: Place, calls: "tuple[CallResult, ...] | list[CallResult]") -> None:
        for call in calls:
            if self._service.faults.active and self._chance.random() < 0.25:
                await self._cheat(place, call)
            await self._decide_one(place, call)
        await self._try(place, lambda chat: chat.resume())

    async def _decide_one(self, place: Place, call: CallResult) -> None:
        approves = self._chance.random() < 0.7
        digest = call.digest if self._chance.random() < 0.5 else None
        self._say("operator", place, f"{'approves' if approves else 'denies'} {call.tool} {call.key}")
        await self._try(
            place,
            lambda chat: (chat.approve if approves else chat.deny)(call.call_id, by="operator", digest=digest),
        )

    async def _find_out(self, place: Place, result: Result[Any]) -> None:
        """Look what became of a call whose outcome is unknown, and say so if it did take effect."""
        for call in result.tool_calls:
            nonce = nonce_of(call.arguments)
            attempts = self._service.outside.attempts.get(nonce or 0, [])
            if call.outcome == "unknown" and any(attempt.applied for attempt in attempts):
                self._say("operator", place, f"resolves {call.tool} {call.key}")
                name = f"{result.turn}/{call.key}"
                text = f"{canary(*place)} it did happen, number {nonce}"
                await self._try(place, partial(_resolve, name=name, text=text))

    async def _cheat(self, place: Place, call: CallResult) -> None:
        """Try to get a call approved that nobody would approve."""
        user, conversation = place
        trick = self._chance.choices(_TRICKS, (1, 1, 1, 3))[0]
        self._service.faults.count("forged_approval")
        self._say("cheat", place, trick)
        if trick == "a forged record":
            await self._forge(place, call)
            await self._try(place, lambda chat: chat.resume())
            return
        foreign = "u9" if trick == "another user" else user
        call_id = "call_0815" if trick == "another call" else call.call_id
        digest = "0" * 64 if trick == "another digest" else call.digest
        try:
            await self._at(
                lambda assistant: assistant.conversation(conversation, user=foreign).approve(call_id, digest=digest),
                (foreign, conversation),
            )
        except (NoAnswer, StoreError, InputError):
            return
        self._service.rules.broken("approval", f"{place}: a forged approval by {trick} was accepted")

    async def _forge(self, place: Place, call: CallResult) -> None:
        """Write an approval of other arguments into the journal itself, as a broken application would."""
        user, conversation = place
        store = self._service.store.for_user(user)
        try:
            lease = await store.claim(conversation, owner="forger", ttl=1.0)
        except StoreError:
            return
        self._service.ledger.claimed(user, lease, 1.0)
        if lease.state == "waiting":
            turn = self._service.ledger.turns_of(place)[-1]
            if not turn.calls[call.key].decisions:
                forged = ApprovalDecided(
                    turn=turn.turn, key=call.key, call_id=call.call_id, arguments_hash="0" * 64, approved=True
                )
                record = NewRecord(
                    record_id=f"{turn.turn}/forged/{lease.seq}",
                    kind=forged.kind,
                    body=encode(measure(forged, COUNTER)),
                )
                await store.append(
                    Append(
                        lease=lease,
                        expected_seq=lease.seq,
                        records=[record],
                        state="waiting",
                        open_turn=lease.open_turn,
                    )
                )
        self._service.ledger.changed(user, conversation)
        await store.release(lease)
        self._service.ledger.gave_up(user, lease)

    async def _try(self, place: Place, what: Callable[[Any], Awaitable[Any]]) -> None:
        """Do something with a conversation, a few times if need be; others may be doing the same."""
        user, conversation = place
        for _ in range(6):
            try:
                await self._at(lambda assistant: what(assistant.conversation(conversation, user=user)), place)
            except (NoAnswer, StoreError, ConfigurationError) as error:
                self._say("operator", place, type(error).__name__)
            except (InputError, RunError, ModelError) as error:
                self._say("operator", place, type(error).__name__)
                return
            else:
                return
            await self._pause()

    async def _at(
        self,
        function: Callable[[Assistant[Any]], Awaitable[Any]],
        place: Place,
        *,
        ref: str = "",
        patience: float = 60.0,
        closes: bool = False,
    ) -> Any:
        """Ask any worker. Raises NoAnswer, and what the assistant raises."""
        worker = self._chance.choice(self._workers)
        reply = worker.ask(function, place, ref=ref, closes=closes)
        if reply is None:
            await anyio.sleep(0.1)
            raise NoAnswer
        try:
            with anyio.move_on_after(patience):
                return await reply.wait()
        except ProcessDied as error:
            raise NoAnswer from error
        except AssistantKitError:
            raise
        except Exception as error:
            self._service.rules.broken("errors", f"{place} met with {error!r}")
            raise NoAnswer from error
        raise NoAnswer

    async def _ask(self, message: Message) -> Result[Any] | None:
        chance = self._chance
        after, seconds = chance.randrange(6), chance.random() * 20.0
        function = partial(_send, message, rules=self._service.rules, after=after, seconds=seconds)
        self._say("client", message.ref, f"sends ({message.manner})")
        return await self._at(
            function,
            (message.user, message.conversation),
            ref=message.ref,
            patience=message.patience,
            closes=message.manner in ("left", "cancelled"),
        )


async def _resolve(chat: Any, *, name: str, text: str) -> None:
    await chat.resolve(name, happened=True, result=text, by="operator")


async def _send(
    message: Message, assistant: Assistant[Any], *, rules: Rules, after: int, seconds: float
) -> Result[Any] | None:
    """Run a turn in one of the ways in which applications do; None when its end is not waited for."""
    options: Any = {"user": message.user, "conversation": message.conversation}
    if message.request_id is not None:
        options["request_id"] = message.request_id
    if message.on_busy is not None:
        options["on_busy"] = message.on_busy
    if message.manner == "run":
        return await assistant.run(message.text, **options)
    if message.manner == "cancelled":
        with anyio.move_on_after(seconds):
            return await assistant.run(message.text, **options)
        return None
    events: list[Event] = []
    async with assistant.stream(message.text, **options) as run:
        async for event in run:
            events.append(event)
            if message.manner == "left" and len(events) > after:
                return None
        result = await run.result()
    rules.streamed(message, events, result)
    return result
