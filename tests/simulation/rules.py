"""The rules that must hold while a world goes on, whatever goes wrong in it.

A rule that is broken is noted as a violation, with its name, and the world goes on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from assistant_kit.conversation import NOT_MADE, OUTCOME_UNKNOWN
from assistant_kit.entries import ApprovalDecided, ToolStarted, TurnFinished
from assistant_kit.errors import Interrupted
from assistant_kit.events import Complete, Event, TextRetracted, Token
from assistant_kit.messages import (
    AssistantMessage,
    Item,
    ToolAnswer,
    ToolCall,
    UserMessage,
    text_of,
)
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.registry import CHILD
from assistant_kit.run.call_digest import call_digest
from assistant_kit.run.result import Result
from assistant_kit.settings import WindowSettings
from tests.simulation.ledger import CallOnRecord, Ledger, Place, TurnOnRecord, nonce_of
from tests.simulation.outside import EFFECTS, KEY_LIFE, NEEDS_APPROVAL, Attempt
from tests.simulation.script import Heard, Message, canary, heard
from tests.simulation.windows import SHORTENED, SUMMARY, Windows

_CANARY = re.compile("«[^»]*»")


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule, and how it was broken."""

    rule: str
    what: str


@dataclass(slots=True)
class Rules:
    """Looks at requests, calls and answers as they pass. `epoch` is the store's time when virtual time began.

    `windows` looks at what is left out of requests.
    """

    ledger: Ledger
    epoch: float
    window: WindowSettings
    violations: list[Violation] = field(default_factory=list[Violation])
    replies: dict[str, list[Result[Any]]] = field(default_factory=dict[str, list[Result[Any]]])
    requests: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    reconciled_calls: int = 0
    windows: Windows = field(init=False)

    def __post_init__(self) -> None:
        """Look at windows, too."""
        self.windows = Windows(self.ledger, self.window, self.broken)

    @property
    def whole(self) -> bool:
        """Whether the window holds every conversation, so that nothing of it may be left out."""
        return self.window.max_tokens == WindowSettings().max_tokens

    def broken(self, rule: str, what: str) -> None:
        """Note a violation."""
        self.violations.append(Violation(rule, what))

    def tick(self) -> int:
        """Return the number of what happens now."""
        return self.ledger.tick()

    # What a model is asked

    def asked(self, request: ModelRequest, said: Heard) -> int:
        """Look at a request, and return its number."""
        items = request.items
        if problem := malformed(items):
            self.broken("well-formed", f"a request for {said.ref}: {problem}")
        foreign = set(_CANARY.findall("\n".join(map(_text, items)))) - {said.canary}
        if foreign:
            self.broken("isolation", f"a request for {said.canary} shows {sorted(foreign)}")
        turn = self._turn_of(said.ref)
        if turn is None:
            self.broken("accepted", f"the model was asked about {said.ref}, which is not recorded")
            return 0
        self._in_order(turn, items)
        last = max(index for index, item in enumerate(items) if isinstance(item, UserMessage))
        self._told_the_truth(turn, items, last)
        self.requests[turn.turn, len(items) - last] = self.requests.get((turn.turn, len(items) - last), 0) + 1
        return self.windows.asked(turn, request)

    def _turn_of(self, ref: str) -> TurnOnRecord | None:
        found = [turn for turn in self.ledger.turns.values() if turn.ref == ref]
        return found[-1] if found else None

    def _in_order(self, turn: TurnOnRecord, items: Sequence[Item]) -> None:
        before = [other for other in self.ledger.turns_of(turn.place) if other.begun <= turn.begun]
        shown = (other for other in before if other is turn or other.answers or other.outcome != "failed")
        journal = [other.ref for other in shown]
        texts = [text_of(item.content) for item in items if isinstance(item, UserMessage)]
        refs = [heard(text).ref for text in texts if not text.startswith(SUMMARY)]
        if refs != (journal if self.whole else journal[-len(refs) :]):
            self.broken("history", f"a request for {turn.ref} shows {refs}, the journal has {journal}")

    def _told_the_truth(self, turn: TurnOnRecord, items: Sequence[Item], last: int) -> None:
        shown: list[int | None] = []
        calls: list[ToolCall] = []
        for index, item in enumerate(items):
            if isinstance(item, ToolCall):
                calls.append(item)
                if index > last:
                    shown.append(nonce_of(item.arguments))
            elif isinstance(item, ToolAnswer) and calls:
                self._answered(turn, calls.pop(0), item, current=index > last)
        recorded = [call.nonce for call in turn.calls.values()]
        if shown != recorded[: len(shown)]:
            self.broken("history", f"a request for {turn.ref} shows the calls {shown}, the journal has {recorded}")

    def _answered(self, turn: TurnOnRecord, asked: ToolCall, answer: ToolAnswer, *, current: bool) -> None:
        nonce = nonce_of(asked.arguments)
        if nonce is None:
            return
        call = self.ledger.of_nonce.get(nonce)
        if call is None:
            self.broken("durable", f"the model saw call {nonce} for {turn.ref}, which is not recorded")
            return
        told = (answer.outcome, text_of(answer.content))
        known = [(end.outcome, text_of(end.content)) for end in (call.end, call.resolved) if end is not None]
        if not known and not current:
            known = [("unknown", OUTCOME_UNKNOWN) if call.intents else ("cancelled", NOT_MADE)]
        shortened = told[1].startswith(SHORTENED) and told[0] in [outcome for outcome, _ in known]
        if told not in known and not shortened:
            self.broken("durable", f"the model was told {told} of call {nonce} for {turn.ref}; recorded: {known}")

    # What tools are asked

    def entered(self, attempt: Attempt, ref: str, context: ToolContext) -> None:
        """Look at a call that has reached a tool."""
        mark = ref.partition(" ")[0]
        nested = (context.conversation or "").startswith(CHILD)
        if mark != canary(context.user or "", context.conversation or "") and not (
            nested and mark.startswith(f"«{context.user}/")
        ):
            self.broken("isolation", f"{attempt.tool} was called with {mark} for {context.user}")
        effect = EFFECTS[attempt.tool]
        call = self.ledger.of_nonce.get(attempt.nonce)
        if call is None:
            if effect not in ("read", "transactional"):
                self.broken("intent", f"{attempt.tool} {attempt.nonce} was called, and nobody's answer asks for it")
            return
        if effect not in ("read", "transactional", "idempotent"):
            self._intended(attempt, call)
        if attempt.tool in NEEDS_APPROVAL:
            self._approved(attempt, call)

    def _intended(self, attempt: Attempt, call: CallOnRecord) -> None:
        what = f"{attempt.tool} {attempt.nonce}"
        intents = [written.measured.entry for written in call.intents]
        if not intents:
            self.broken("intent", f"{what} was called before its intent was committed")
        for intent in intents:
            assert isinstance(intent, ToolStarted)
            if intent.idempotency_key != attempt.key:
                self.broken("key", f"{what} was called with another key than its intent has")
            if intent.arguments_hash != call_digest(call.tool, call.arguments):
                self.broken("intent", f"the intent of {what} is for other arguments")
        if EFFECTS[attempt.tool] != "once" and call.intents:
            self._key_lives(attempt, call, what)

    def _key_lives(self, attempt: Attempt, call: CallOnRecord, what: str) -> None:
        expiry = call.intents[0].record.at - self.epoch + KEY_LIFE
        woken = attempt.process.woken_at if attempt.process is not None else None
        late = attempt.entered_at > expiry
        # Who was frozen when the key died decided before, and nobody can take that back.
        if late and woken is not None and woken > expiry:
            attempt.late_excused = True
        elif late and len(call.intents) > 1:
            self.broken("key", f"{what} was repeated {attempt.entered_at - expiry:.1f} s after its key had died")

    def _approved(self, attempt: Attempt, call: CallOnRecord) -> None:
        decisions = [written.measured.entry for written in call.decisions]
        genuine = [
            decision
            for decision in decisions
            if isinstance(decision, ApprovalDecided)
            and decision.arguments_hash == call_digest(call.tool, call.arguments)
        ]
        if not genuine or not genuine[0].approved:
            said = "it was denied" if genuine else "nobody approved it"
            self.broken("approval", f"{attempt.tool} {attempt.nonce} was called, and {said}")

    def reconciled(self, nonce_key: str, context: ToolContext) -> None:
        """Note that somebody asks what became of a call."""
        del nonce_key, context
        self.reconciled_calls += 1

    # What callers are told

    def replied(self, message: Message, result: Result[Any]) -> None:
        """Look at what a caller got."""
        self.replies.setdefault(message.ref, []).append(result)
        turn = self.ledger.turns.get(result.turn)
        if turn is None or turn.ref != message.ref or turn.place != (message.user, message.conversation):
            self.broken("reply", f"{message.ref} was answered by turn {result.turn}, which is not its own")
            return
        outcomes = [written.measured.entry for written in turn.entries]
        if not any(isinstance(entry, TurnFinished) and entry.outcome == result.status for entry in outcomes):
            self.broken("reply", f"{message.ref} was answered as {result.status}, and that is not recorded")
            return
        if result.status == "completed":
            self._agrees(message, turn, result)

    def _agrees(self, message: Message, turn: TurnOnRecord, result: Result[Any]) -> None:
        said = "".join(item.text for item in turn.answers[-1].items if isinstance(item, AssistantMessage))
        output = result.output if isinstance(result.output, str) else result.output.text
        if result.text != said or output not in said:
            self.broken("reply", f"{message.ref} was told {result.text!r}, recorded is {said!r}")
        if f"answer to {message.ref}:" not in result.text:
            self.broken("reply", f"{message.ref} was told {result.text!r}")
        told = [call.outcome for call in result.tool_calls]
        recorded = [
            {end.outcome for end in (call.end, call.resolved) if end is not None} for call in turn.calls.values()
        ]
        if len(told) != len(recorded) or any(
            outcome not in known for outcome, known in zip(told, recorded, strict=True)
        ):
            self.broken("reply", f"{message.ref} was told the outcomes {told}, recorded are {recorded}")

    def streamed(self, message: Message, events: Sequence[Event], result: Result[Any]) -> None:
        """Look at what a reader saw: what was not taken back ends with the answer, and `complete` comes last."""
        shown = ""
        for event in events:
            if isinstance(event, Token):
                shown += event.text
            elif isinstance(event, TextRetracted):
                shown = shown.removesuffix(event.text)
        # A turn whose answer is on record already may have nothing left to show but its end.
        if result.status == "completed" and shown and not shown.endswith(result.text):
            self.broken("stream", f"{message.ref} was shown {shown!r}, the answer is {result.text!r}")
        if not isinstance(events[-1], Complete) or events[-1].output != result.output:
            self.broken("stream", f"the last event of {message.ref} is {events[-1]}")

    def interrupted(self, message: Message, error: Interrupted) -> None:
        """Look at the news that a request ended without an answer."""
        turn = self._turn_of(message.ref)
        if turn is None or turn.outcome != error.outcome:
            found = None if turn is None else turn.outcome
            self.broken("reply", f"{message.ref} was told that it ended as {error.outcome}, recorded is {found}")

    def left_behind(self, place: Place, fences: Sequence[int], *, closed: bool, ref: str) -> None:
        """Look at what a run leaves that met with no trouble: the lease is free, and its turn is closed."""
        holder = self.ledger.holders.get(place)
        if holder is not None and holder.fence in fences:
            self.broken("lease", f"the run of {ref} has ended and still holds {place}")
        elif holder is None and fences and not self.ledger.is_free(place):
            self.broken("lease", f"the run of {ref} has ended and {place} is not free")
        turn = self._turn_of(ref)
        if closed and turn is not None and turn.outcome is None and turn.entries[-1].record.fence in fences:
            self.broken("closed", f"the run of {ref} has ended and its turn is open")


def malformed(items: Sequence[Item]) -> str | None:
    """Return what a provider would refuse: each call is answered once, in order, after the answer that made it."""
    pending: list[str] = []
    answering = False
    for item in items:
        if isinstance(item, ToolAnswer):
            if not pending or pending.pop(0) != item.call_id:
                return f"an answer to {item.call_id!r} where none belongs"
            answering = True
            continue
        if pending and (answering or not isinstance(item, ToolCall)):
            return f"no answer to {pending}"
        answering = False
        if isinstance(item, ToolCall):
            pending.append(item.call_id)
    ids_missing = any(not item.call_id for item in items if isinstance(item, ToolCall))
    return f"no answer to {pending}" if pending else "a call without an id" if ids_missing else None


def _text(item: Item) -> str:
    match item:
        case UserMessage() | ToolAnswer():
            return text_of(item.content)
        case AssistantMessage():
            return item.text
        case ToolCall():
            return item.arguments
        case _:
            return ""
