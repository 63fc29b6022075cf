"""The calls that a model asks for: checked, claimed, made side by side, recorded one by one."""

import hashlib
from collections.abc import Awaitable, Callable, Collection, Sequence

from assistant_kit.conversation import NOT_MADE
from assistant_kit.entries import Measured, ToolStarted
from assistant_kit.errors import NotTransactional
from assistant_kit.events import ToolRequest
from assistant_kit.messages import Outcome, ToolCall
from assistant_kit.run.asked import Asked
from assistant_kit.run.call_digest import digest_of, parsed_arguments
from assistant_kit.run.masked_call import with_values
from assistant_kit.run.one_call import CANCELLED, UNKNOWN, answer_call, note_definition, unmade
from assistant_kit.run.turn import TurnRun, record
from assistant_kit.side_by_side import side_by_side
from assistant_kit.tool_spec import may_repeat


async def answer_calls(run: TurnRun, step: int, calls: Sequence[ToolCall]) -> Sequence[ToolCall]:
    """Make calls, and record what became of them; return those that wait for approval. Raises NotTransactional."""
    asked = [_asked(run, f"{step}.{index}", call) for index, call in enumerate(calls)]
    waiting = [one for one in asked if _waits(run, one)]
    for one in waiting:
        await note_definition(run, one)
    ready = [await with_values(run, one) for one in asked if one not in waiting]
    runnable = [one for one in ready if one.refusal is None]
    claims = {claim.started.key: claim for claim in await run.runtime.claim([_intent(run, one) for one in runnable])}
    results: dict[str, Measured] = {}
    begun: set[str] = set()

    async def answer(one: Asked) -> None:
        begun.add(one.key)
        results[one.key] = await answer_call(run, one, claims.get(one.key))

    for one in ready:
        if one.key not in claims or claims[one.key].finished is None:
            run.emit(ToolRequest(call_id=one.call.call_id, tool=one.call.name, arguments=one.arguments))
    run.during = f"the tools {', '.join(sorted({one.call.name for one in ready}))}"
    try:
        await side_by_side([_bound(answer, one) for one in ready], limit=run.parts.settings.limits.parallel_tools)
    except BaseException:
        run.add(*results.values())
        await _take_back(run, [one for one in runnable if one.key not in results], begun)
        raise
    run.add(*(results[one.key] for one in ready))
    return [one.call for one in waiting]


async def _take_back(run: TurnRun, unanswered: Sequence[Asked], begun: Collection[str]) -> None:
    """Record that calls which had been claimed were not made: without that, nobody could tell later.

    Calls that may be repeated are recorded only if the turn is closed now; so are those that an earlier worker may
    have made (`Runtime.in_doubt`).
    """
    for one in unanswered:
        if may_repeat(one.made_by[1].effect):
            run.unanswered.append(unmade(run, one, CANCELLED))
        elif one.key not in begun and not run.runtime.begun(one.key):
            await record(run, unmade(run, one, NOT_MADE))


def _asked(run: TurnRun, key: str, call: ToolCall) -> Asked:
    arguments = parsed_arguments(call.arguments)
    digest = digest_of(call.name, arguments, call.arguments)
    tool = run.tool(call.name)
    refusal: tuple[Outcome, str] | None = None
    if tool is None:
        names = ", ".join(sorted(run.catalog.tools)) or "none"
        refusal = ("error", f"There is no tool named {call.name!r}. The tools are: {names}.")
    elif arguments is None:
        refusal = ("error", "The arguments are not a JSON object. Correct them and call the tool again.")
    elif tool[1].needs_approval:
        refusal = _denied(run, key, digest)
    if refusal is not None and run.runtime.begun(key):
        # It was made by an earlier worker, which knew the tool: nobody can say now that nothing happened.
        refusal = ("unknown", UNKNOWN)
    if refusal is None and tool is not None and tool[1].effect == "transactional" and run.about.conversation is None:
        raise NotTransactional(call.name, "a one-off run has no journal")
    return Asked(call=call, key=key, arguments=arguments, arguments_hash=digest, tool=tool, refusal=refusal)


def _denied(run: TurnRun, key: str, digest: str) -> tuple[Outcome, str] | None:
    if run.about.conversation is None:
        return ("denied", "This tool needs a person's approval, and a one-off run cannot wait for it.")
    decision = run.runtime.decision(key, digest)
    return ("denied", "A person denied this call.") if decision is not None and not decision.approved else None


def _waits(run: TurnRun, one: Asked) -> bool:
    if one.tool is None or not one.tool[1].needs_approval or one.refusal is not None:
        return False
    return run.runtime.decision(one.key, one.arguments_hash) is None


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


def _bound(answer: Callable[[Asked], Awaitable[None]], one: Asked) -> Callable[[], Awaitable[None]]:
    return lambda: answer(one)
