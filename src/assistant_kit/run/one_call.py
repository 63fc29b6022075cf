"""One tool call: made within its time, or answered from what is known of it, and recorded."""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, cast

import anyio

from assistant_kit.deadline import Deadline
from assistant_kit.entries import Measured, ToolFinished, ToolNoted, ToolStarted
from assistant_kit.errors import AssistantKitError, InputError, OutcomeUnknown, StoreError
from assistant_kit.events import ToolResult
from assistant_kit.messages import Outcome, Part, Text
from assistant_kit.policy_chain import through
from assistant_kit.protocols.policy import Call
from assistant_kit.protocols.runtime import Claim
from assistant_kit.protocols.toolset import LateResult, ReconcilingToolset, ToolContext, ToolOutput
from assistant_kit.run.asked import Asked
from assistant_kit.run.call_progress import CallProgress
from assistant_kit.run.masked_call import as_unicode, masked, masked_note, masked_words, read_notes, readable
from assistant_kit.run.masking import log_failure
from assistant_kit.run.turn import TurnRun, record
from assistant_kit.tool_spec import ToolSpec, may_repeat

Answer = TypeVar("Answer", ToolOutput, ToolOutput | None)

_log = logging.getLogger("assistant_kit.tools")

UNKNOWN = (
    "The outcome of this call is unknown: it was started and nobody can tell whether it took effect. "
    "Do not assume that it did or did not happen, and do not repeat it without asking the user."
)
CANCELLED = "This call was cancelled."
CHANGED = "This call was not made: what the server says of the tool is not what it said when the call was approved."
_SHOWN = "definition "  # what the note begins with that binds an approval to the tool as it was then
_DENSEST = 8
"""Tokens of a character, at most: shorter results need not be counted."""
FAILED = "The tool failed with an internal error. Trying again with the same arguments will hardly help."


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What became of a call, as the model reads it; `kept` and `untrusted` as in ToolFinished."""

    outcome: Outcome
    content: tuple[Part, ...]
    kept: str = ""
    untrusted: bool = False


class _NoAnswer(TimeoutError):
    """A tool has not answered in its time."""


class _Undone(Exception):
    """Leaves a transaction without committing it."""

    def __init__(self, end: End) -> None:
        self.end = end


async def answer_call(run: TurnRun, one: Asked, claim: Claim | None) -> Measured:
    """Return the recorded end of a call: of an earlier worker, of a refusal, or of making it now."""
    if claim is not None and claim.finished is not None:
        return run.measure(claim.finished)
    if claim is None:
        assert one.refusal is not None  # noqa: S101  (a call is either claimed or refused)
        measured = await _record(run, one, *one.refusal)
    elif claim.standing == "lost":
        measured = await _settle(run, one, claim)
    elif _has_changed(one, claim):
        measured = await _record(run, one, "denied", CHANGED)
    else:
        measured = await _make(run, one, claim)
    end = measured.entry
    assert isinstance(end, ToolFinished)  # noqa: S101  (what is recorded under the key of a call)
    run.tell(
        ToolResult(
            call_id=end.call_id,
            tool=end.tool,
            outcome=end.outcome,
            content=end.content,
            untrusted=end.untrusted,
        )
    )
    return measured


async def note_definition(run: TurnRun, one: Asked) -> None:
    """Put down what a server says of the tool of a call that waits for approval: nothing else is approved."""
    definition = one.made_by[1].definition
    if definition:
        await run.runtime.note(ToolNoted(turn=run.id, key=one.key, call_id=one.call.call_id, note=_SHOWN + definition))


def _has_changed(one: Asked, claim: Claim) -> bool:
    """Tell whether the tool is another than the one that was approved; one that was called already was the right."""
    shown = [note.removeprefix(_SHOWN) for note in claim.notes if note.startswith(_SHOWN)]
    return bool(shown) and claim.started.attempt == 1 and shown[-1] != one.made_by[1].definition


def unmade(run: TurnRun, one: Asked, words: str) -> ToolFinished:
    """Return the record of a call that was not made, or was cancelled without harm."""
    return _entry(run, one, End(outcome="cancelled", content=_words(words)))


def unknown_end(started: ToolStarted) -> ToolFinished:
    """Return the record of a call that was started, when nobody will find out any more what became of it."""
    return ToolFinished(
        turn=started.turn,
        key=started.key,
        call_id=started.call_id,
        tool=started.tool,
        outcome="unknown",
        content=_words(UNKNOWN),
    )


async def _make(run: TurnRun, one: Asked, claim: Claim) -> Measured:
    effect = claim.started.effect
    try:
        if effect == "transactional":
            return await _make_in_transaction(run, one, claim)

        async def make() -> Measured:
            return _measured(run, one, await _shortened(run, one, await _outcome(run, one, claim)))

        return await run.runtime.step(one.key, make)
    except anyio.get_cancelled_exc_class():
        if not may_repeat(effect):  # otherwise it is made again, if the turn is not closed now
            await record(run, unknown_end(claim.started))
        raise


async def _make_in_transaction(run: TurnRun, one: Asked, claim: Claim) -> Measured:
    async def make(connection: Any) -> Measured:
        end = await _outcome(run, one, claim, connection=connection)
        if end.outcome != "ok":
            raise _Undone(end)
        return _measured(run, one, end)

    try:
        return await run.runtime.transact(one.key, make)
    except _Undone as undone:
        return await _recorded(run, one, undone.end)


async def _settle(run: TurnRun, one: Asked, claim: Claim) -> Measured:
    """Find out what became of a call whose worker has died, or say that nobody knows. It is not made again."""
    toolset, spec, arguments = one.made_by
    if spec.reconciles:
        # The toolset says of itself that it can: `reconciles` is its word.
        ask = partial(cast("ReconcilingToolset", toolset).reconcile, spec.name, arguments)
        output: ToolOutput | None = None
        context = await _context(run, one, claim)
        try:
            with anyio.move_on_after(_timeout(run, spec)):
                output = _marked(await ask(context), spec)
        except Exception as error:  # noqa: BLE001  (whatever it is, the outcome stays unknown)
            words = "what became of a call of %s could not be found out (call %s)"
            log_failure(_log, error, run.about.masks, words, spec.name, one.call.call_id)
        if output is not None:
            return await _recorded(run, one, await _shortened(run, one, _read(await masked(run, one, output))))
    return await _record(run, one, "unknown", UNKNOWN)


def _timeout(run: TurnRun, spec: ToolSpec) -> float | None:
    return spec.timeout if spec.timeout is not None else run.parts.settings.limits.tool_timeout


async def _context(run: TurnRun, one: Asked, claim: Claim, connection: Any = None) -> ToolContext:
    """Return what a tool may know of its call. Raises StoreError."""
    spec = one.made_by[1]

    async def note(text: str) -> None:
        kept = await masked_note(run, text)
        await run.runtime.note(ToolNoted(turn=run.id, key=one.key, call_id=one.call.call_id, note=kept))

    return ToolContext(
        user=run.about.user,
        conversation=run.about.conversation,
        call_id=one.call.call_id,
        tool=spec.name,
        idempotency_key=claim.started.idempotency_key,
        deadline=run.about.deadline.earlier(_timeout(run, spec), now=anyio.current_time()),
        priority=run.about.priority,
        connection=connection,
        notes=await read_notes(run, [note for note in claim.notes if not note.startswith(_SHOWN)]),
        # In a transaction there is nothing to find out later, and the journal is busy with it.
        write_note=note if connection is None else _forget,
        late=_late(run, one),
    )


async def _forget(_: str) -> None:
    """Keep no note."""


def _late(run: TurnRun, one: Asked) -> Callable[[LateResult], None]:
    effect = one.made_by[1].effect

    def late(result: LateResult) -> None:
        if not may_repeat(effect):  # otherwise it was not reported as unknown: there is nothing to find out
            run.about.late(_entry(run, one, _failed() if result.output is None else _read(result.output)))

    return late


async def _outcome(run: TurnRun, one: Asked, claim: Claim, *, connection: Any = None) -> End:
    with closing(CallProgress(run.emit, call_id=one.call.call_id, tool=one.call.name)) as progress:
        context = replace(await _context(run, one, claim, connection), show_progress=progress.report)
        end = await _called(run, one, claim, context)
    # What an error says may be the server's own words, too.
    return replace(end, untrusted=True) if one.made_by[1].untrusted else end


async def _called(run: TurnRun, one: Asked, claim: Claim, context: ToolContext) -> End:
    toolset, spec, arguments = one.made_by
    sent = claim.started.attempt > 1
    limit = Deadline.after(_timeout(run, spec), now=anyio.current_time())
    unmasked: list[StoreError] = []

    async def make(_: Call) -> ToolOutput:
        output = await ask()
        try:
            return await masked(run, one, output)
        except StoreError as error:
            # It was called: a policy must not repeat it, and not take this for a failure of the tool.
            unmasked.append(error)
            return ToolOutput(content=_words(FAILED), is_error=True)

    async def ask() -> ToolOutput:
        nonlocal sent
        # Looked at only here, as the call may have waited for its turn or for a policy.
        if sent and anyio.current_time() >= claim.repeatable_until:
            raise OutcomeUnknown("its idempotency key is too old to send it again")
        sent = True
        # Inside of the policies, so that a breaker learns of a tool that gives no answer.
        with anyio.CancelScope(deadline=limit.at):
            return _marked(await toolset.call(spec.name, arguments, context), spec)
        raise _NoAnswer

    call = Call(
        kind="tool",
        name=spec.name,
        upstream=spec.server,
        # A failed attempt may have written already in this transaction: it must be undone, not repeated.
        effect="once" if spec.effect == "transactional" else spec.effect,
        deadline=context.deadline,
        priority=run.about.priority,
        user=run.about.user,
        run=run.id,
        call_id=one.call.call_id,
        notify=run.emit,
    )
    try:
        output = await through(run.parts.policies, call, make)
    except Exception as error:  # noqa: BLE001  (whatever a tool raises is its own failure, not the run's)
        return await _failure(run, one, error)
    if unmasked:
        raise unmasked[0]  # what is not masked must not be recorded, so the turn stays open
    return _read(output)


async def _failure(run: TurnRun, one: Asked, error: Exception) -> End:
    """Return what the model is told of a call that has failed. Raises StoreError."""
    spec = one.made_by[1]
    if isinstance(error, _NoAnswer):
        late = f"no answer within {_timeout(run, spec)} s"
        if may_repeat(spec.effect):
            return End(outcome="error", content=_words(f"The tool gave {late}."))
        return End(outcome="unknown", content=_words(f"{UNKNOWN} (It gave {late}.)"))
    if isinstance(error, OutcomeUnknown):
        return End(outcome="unknown", content=await masked_words(run, one, _words(f"{UNKNOWN} ({error})")))
    if isinstance(error, AssistantKitError):
        return End(outcome="error", content=await masked_words(run, one, _words(str(error))))
    log_failure(_log, error, run.about.masks, "tool %s failed (call %s)", spec.name, one.call.call_id)
    return _failed()


async def _shortened(run: TurnRun, one: Asked, end: End) -> End:
    """Cut what is too long to be shown, and keep the whole; where it cannot be kept beside the journal, keep it there.

    Not for a transactional tool: in its transaction nothing else is written. Such a result is cleared when there is no
    room for it.
    """
    size = sum(len(part.text) for part in end.content if isinstance(part, Text))
    if size * _DENSEST <= run.parts.settings.window.result_tokens:
        return end
    shown = end
    # The call has been made: what it gave must not be lost for lack of time.
    with anyio.CancelScope(shield=True):
        try:
            content, kept = await run.about.results.shortened(run.id, one.key, end.content)
            shown = replace(end, content=content, kept=kept)
        except (StoreError, InputError) as error:  # a store may refuse the name, too
            words = run.about.logged(error)
            _log.warning("the result of call %s of %s is not shortened: %s", one.call.call_id, one.call.name, words)
    return shown


def _failed() -> End:
    return End(outcome="error", content=_words(FAILED))


def _read(output: ToolOutput) -> End:
    content = readable(output.content)
    return End(outcome="error" if output.is_error else "ok", content=content, untrusted=output.untrusted)


def _marked(output: Answer, spec: ToolSpec) -> Answer:
    """Say of an answer that others have written it, where that holds for all answers of a tool."""
    return replace(output, untrusted=True) if output is not None and spec.untrusted else output


def _words(text: str) -> tuple[Part, ...]:
    return (Text(text=as_unicode(text)),)


async def _record(run: TurnRun, one: Asked, outcome: Outcome, words: str) -> Measured:
    return await _recorded(run, one, End(outcome=outcome, content=_words(words)))


async def _recorded(run: TurnRun, one: Asked, end: End) -> Measured:
    async def recorded() -> Measured:
        return _measured(run, one, end)

    return await run.runtime.step(one.key, recorded)


def _measured(run: TurnRun, one: Asked, end: End) -> Measured:
    return run.measure(_entry(run, one, end))


def _entry(run: TurnRun, one: Asked, end: End) -> ToolFinished:
    return ToolFinished(
        turn=run.id,
        key=one.key,
        call_id=one.call.call_id,
        tool=one.call.name,
        outcome=end.outcome,
        content=end.content,
        kept=end.kept,
        untrusted=end.untrusted,
    )
