"""The calls that a model asks for: checked, claimed, made side by side, recorded one by one."""

import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import anyio

from assistant_kit.deadline import Deadline
from assistant_kit.entries import Measured, ToolFinished, ToolStarted
from assistant_kit.errors import AssistantKitError, OutcomeUnknown
from assistant_kit.events import ToolRequest, ToolResult
from assistant_kit.messages import Json, JsonObject, Outcome, Part, Text, ToolCall, has_content, is_unicode
from assistant_kit.protocols.policy import Call
from assistant_kit.protocols.runtime import Claim
from assistant_kit.protocols.toolset import ToolContext, ToolOutput, Toolset
from assistant_kit.run.side_by_side import side_by_side
from assistant_kit.run.turn import TurnRun, through
from assistant_kit.tool_spec import ToolSpec, may_repeat

_log = logging.getLogger("assistant_kit.tools")
T = TypeVar("T")

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode

UNKNOWN = (
    "The outcome of this call is unknown: it was started and nobody can tell whether it took effect. "
    "Do not assume that it did or did not happen, and do not repeat it without asking the user."
)
FAILED = "The tool failed with an internal error. Trying again with the same arguments will hardly help."


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A call with all that is known before it is made. `refusal` is why it will not be: outcome and words."""

    call: ToolCall
    key: str
    arguments: JsonObject | None
    arguments_hash: str
    tool: tuple[Toolset, ToolSpec] | None
    refusal: tuple[Outcome, str] | None = None


async def answer_calls(run: TurnRun, step: int, calls: Sequence[ToolCall]) -> Sequence[ToolCall]:
    """Make calls, and record what became of them; return those that wait for approval."""
    asked = [_asked(run, f"{step}.{index}", call) for index, call in enumerate(calls)]
    waiting = [one.call for one in asked if _waits(run, one)]
    ready = [one for one in asked if one.call not in waiting]
    runnable = [one for one in ready if one.refusal is None]
    claims = {claim.started.key: claim for claim in await run.runtime.claim([_intent(run, one) for one in runnable])}
    results: dict[str, Measured] = {}

    async def answer(one: Asked) -> None:
        results[one.key] = await _answer(run, one, claims.get(one.key))

    for one in ready:
        if one.key not in claims or claims[one.key].finished is None:
            run.emit(ToolRequest(call_id=one.call.call_id, tool=one.call.name, arguments=one.arguments))
    run.during = f"the tools {', '.join(sorted({one.call.name for one in ready}))}"
    await side_by_side([_bound(answer, one) for one in ready], limit=run.parts.settings.limits.parallel_tools)
    run.add(*(results[one.key] for one in ready))
    return waiting


def parsed_arguments(call: ToolCall) -> JsonObject | None:
    """Return the arguments of a call; None when they are no JSON object. No text at all means no arguments."""
    return _parsed(call.arguments)


def _parsed(text: str) -> JsonObject | None:
    try:
        arguments: Json = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None


def call_digest(tool: str, arguments: str) -> str:
    """Return the digest that binds an approval or a record to a tool and its arguments, however they are written."""
    return _digest(tool, _parsed(arguments), arguments)


def _digest(tool: str, parsed: JsonObject | None, text: str) -> str:
    shown = text if parsed is None else _CANONICAL(parsed)
    return hashlib.blake2b(f"{tool}\0{shown}".encode(errors="replace"), digest_size=32).hexdigest()


def _asked(run: TurnRun, key: str, call: ToolCall) -> Asked:
    arguments = parsed_arguments(call)
    digest = _digest(call.name, arguments, call.arguments)
    tool = run.about.catalog.tools.get(call.name)
    refusal: tuple[Outcome, str] | None = None
    if tool is None:
        names = ", ".join(sorted(run.about.catalog.tools)) or "none"
        refusal = ("error", f"There is no tool named {call.name!r}. The tools are: {names}.")
    elif arguments is None:
        refusal = ("error", "The arguments are not a JSON object. Correct them and call the tool again.")
    elif tool[1].needs_approval:
        refusal = _denied(run, call, digest)
    return Asked(call=call, key=key, arguments=arguments, arguments_hash=digest, tool=tool, refusal=refusal)


def _denied(run: TurnRun, call: ToolCall, digest: str) -> tuple[Outcome, str] | None:
    if run.about.conversation is None:
        return ("denied", "This tool needs a person's approval, and a one-off run cannot wait for it.")
    decision = run.runtime.decision(call.call_id, digest)
    return ("denied", "A person denied this call.") if decision is not None and not decision.approved else None


def _waits(run: TurnRun, one: Asked) -> bool:
    if one.tool is None or not one.tool[1].needs_approval or one.refusal is not None:
        return False
    return run.runtime.decision(one.call.call_id, one.arguments_hash) is None


def _intent(run: TurnRun, one: Asked) -> ToolStarted:
    assert one.tool is not None  # noqa: S101  (only calls of known tools are runnable)
    return ToolStarted(
        turn=run.id,
        key=one.key,
        call_id=one.call.call_id,
        tool=one.call.name,
        arguments_hash=one.arguments_hash,
        effect=one.tool[1].effect,
        idempotency_key=_idempotency_key(run, one),
    )


def _idempotency_key(run: TurnRun, one: Asked) -> str:
    # The turn's random id is the secret: stable over retries and workers, and not to be guessed from outside.
    # A keyed BLAKE2 is a MAC as HMAC is, and takes 1 µs where OpenSSL 3 takes 100 to set an HMAC up (measured).
    named = "\0".join((run.about.user or "", run.about.conversation or "", one.key, one.call.name, one.arguments_hash))
    return hashlib.blake2b(named.encode(errors="replace"), key=run.id.encode(), digest_size=32).hexdigest()


async def _answer(run: TurnRun, one: Asked, claim: Claim | None) -> Measured:
    if claim is not None and claim.finished is not None:
        return run.measure(claim.finished)
    if claim is None:
        assert one.refusal is not None  # noqa: S101  (a call is either claimed or refused)
        measured = await _record(run, one, *one.refusal)
    elif claim.standing == "lost":
        measured = await _record(run, one, "unknown", UNKNOWN)
    else:
        measured = await _make(run, one, claim.started)
    end = measured.entry
    assert isinstance(end, ToolFinished)  # noqa: S101  (what is recorded under the key of a call)
    run.emit(ToolResult(call_id=end.call_id, tool=end.tool, outcome=end.outcome, content=end.content))
    return measured


async def _make(run: TurnRun, one: Asked, started: ToolStarted) -> Measured:
    async def make() -> Measured:
        outcome, content = await _outcome(run, one, started)
        return run.measure(_end(run, one, outcome, content))

    try:
        return await run.runtime.step(one.key, make)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            if may_repeat(started.effect):
                await _record(run, one, "cancelled", "This call was cancelled.")
            else:
                await _record(run, one, "unknown", UNKNOWN)
        raise


async def _outcome(run: TurnRun, one: Asked, started: ToolStarted) -> tuple[Outcome, tuple[Part, ...]]:
    assert one.tool is not None  # noqa: S101  (only calls of known tools are made)
    assert one.arguments is not None  # noqa: S101  (and only with arguments)
    toolset, spec = one.tool
    timeout = spec.timeout if spec.timeout is not None else run.parts.settings.limits.tool_timeout
    now = anyio.current_time()
    deadline = run.about.deadline.earlier(timeout, now=now)
    context = ToolContext(
        user=run.about.user,
        conversation=run.about.conversation,
        call_id=one.call.call_id,
        tool=spec.name,
        idempotency_key=started.idempotency_key,
        deadline=deadline,
    )
    arguments = one.arguments
    call = Call(
        kind="tool",
        name=spec.name,
        attempt=lambda: toolset.call(spec.name, arguments, context),
        effect=spec.effect,
        deadline=deadline,
        notify=run.emit,
    )
    try:
        with anyio.CancelScope(deadline=Deadline.after(timeout, now=now).at):
            return _read(await through(run.parts.policies, call))
    except OutcomeUnknown as error:
        return "unknown", _words(f"{UNKNOWN} ({error})")
    except AssistantKitError as error:
        return "error", _words(str(error))
    except Exception:  # noqa: BLE001  (whatever a tool raises is its own failure, not the run's)
        _log.exception("tool %s failed (call %s)", spec.name, one.call.call_id)
        return "error", _words(FAILED)
    if may_repeat(spec.effect):
        return "error", _words(f"The tool gave no answer within {timeout} s.")
    return "unknown", _words(f"{UNKNOWN} (It gave no answer within {timeout} s.)")


def _read(output: ToolOutput) -> tuple[Outcome, tuple[Part, ...]]:
    content = tuple(_readable(part) for part in output.content)
    return ("error" if output.is_error else "ok"), content


def _readable(part: Part) -> Part:
    """Return what can be stored and sent in place of a part that cannot."""
    if isinstance(part, Text):
        return part if is_unicode(part.text) else Text(text=_replaced(part.text))
    return part if has_content(part) else Text(text=f"({part.kind} without content)")


def _replaced(text: str) -> str:
    return text.encode(errors="replace").decode()


def _words(text: str) -> tuple[Part, ...]:
    return (Text(text=_replaced(text)),)


async def _record(run: TurnRun, one: Asked, outcome: Outcome, words: str) -> Measured:
    async def recorded() -> Measured:
        return run.measure(_end(run, one, outcome, _words(words)))

    return await run.runtime.step(one.key, recorded)


def _end(run: TurnRun, one: Asked, outcome: Outcome, content: tuple[Part, ...]) -> ToolFinished:
    return ToolFinished(
        turn=run.id, key=one.key, call_id=one.call.call_id, tool=one.call.name, outcome=outcome, content=content
    )


def _bound(answer: Callable[[Asked], Awaitable[None]], one: Asked) -> Callable[[], Awaitable[None]]:
    return lambda: answer(one)
