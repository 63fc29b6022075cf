"""The run loop: ask the model, make the calls it asks for, until it answers.

It is written as if nothing ever failed: every step goes through the runtime, which answers from the record what was
done before a crash, so that going on with a turn is running it again.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from assistant_kit.context_window import Packed
from assistant_kit.entries import Measured, ModelResponded
from assistant_kit.errors import ContextOverflow, OutputInvalid, StepLimitExceeded
from assistant_kit.events import ApprovalRequired, Complete, Delta, TextRetracted
from assistant_kit.messages import AssistantMessage, DeveloperMessage, OutputItem, ToolCall
from assistant_kit.policy_chain import through
from assistant_kit.protocols.model import Model, ModelRequest, ModelResponse, Progress, upstream_of
from assistant_kit.protocols.policy import Call
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.request_tokens import text_tokens
from assistant_kit.run.budget import check_calls, check_request
from assistant_kit.run.call_digest import call_digest, parsed_arguments
from assistant_kit.run.preparation import prepare_turn
from assistant_kit.run.result import Result, calls_of, usage_of
from assistant_kit.run.room import make_room
from assistant_kit.run.tool_calls import answer_calls
from assistant_kit.run.turn import TurnRun
from assistant_kit.turns import Block
from assistant_kit.usage import Usage

_REPAIR = (
    "Your last answer does not fit the required format: {problems}\n"
    "Answer again with nothing but JSON that fits this schema, without a code fence: {schema}"
)
"""It holds the schema, as some servers pass over it where a request has it, without a word (llama.cpp's Responses)."""


async def run_turn(run: TurnRun) -> Result[Any]:
    """Run a turn up to its answer, or up to a call that waits for approval, and record its end.

    Raises every AssistantKitError that ends a run; the turn is then still open in the record.
    """
    prompt: DeveloperMessage | None = None
    await prepare_turn(run)
    for step in range(1, run.parts.settings.limits.max_steps + 1):
        response = await _ask_model(run, step, prompt)
        calls = [item for item in response.items if isinstance(item, ToolCall)]
        if calls:
            prompt = None
            check_calls(run, calls)
            if waiting := await answer_calls(run, step, calls):
                return _paused(run, response, waiting)
            continue
        try:
            return await _completed(run, response)
        except OutputInvalid as error:
            if prompt is not None:
                raise
            prompt = await _repair(run, error)
            # Not the error's text, which may hold private values: they are restored for the reader as others are.
            run.emit(TextRetracted(text=_refusal(response) or _text(response)))
    raise StepLimitExceeded(run.parts.settings.limits.max_steps)


async def recorded_result(run: TurnRun) -> Result[Any]:
    """Return the result of a turn that was completed before, from its entries alone. Raises OutputInvalid."""
    answers = [measured.entry for measured in run.entries if isinstance(measured.entry, ModelResponded)]
    return await _completed(run, answers[-1])


def paused_result(run: TurnRun) -> Result[Any]:
    """Return the result of a turn that waits for approval, from its entries alone, and tell the reader."""
    answers = [measured.entry for measured in run.entries if isinstance(measured.entry, ModelResponded)]
    waiting = {call.key for call in calls_of(run.entries) if call.outcome is None}
    calls = [item for item in answers[-1].items if isinstance(item, ToolCall)]
    result = _paused(run, answers[-1], [c for i, c in enumerate(calls) if f"{answers[-1].step}.{i}" in waiting])
    run.emit(Complete(output=result.output, status=result.status, usage=result.usage))
    return result


async def close_turn(run: TurnRun, result: Result[Any]) -> Result[Any]:
    """Record the end of a turn that `run_turn` has brought to a result, and tell the reader."""
    await run.runtime.finish(run.end(result.status))
    run.emit(Complete(output=result.output, status=result.status, usage=result.usage))
    return result


async def _ask_model(run: TurnRun, step: int, prompt: DeveloperMessage | None) -> ModelResponded:
    async def ask() -> Measured:
        response = await _answer(run, step, () if prompt is None else (_block(prompt, run.about.counter),))
        entry = ModelResponded(
            turn=run.id,
            step=step,
            model=response.model,
            items=_with_call_ids(response.items, f"call_{run.id}_{step}"),
            finish=response.finish,
            usage=response.usage,
            prompt=prompt,
        )
        return run.measure(entry)

    measured = await run.runtime.step(str(step), ask)
    run.add(measured)
    entry = measured.entry
    assert isinstance(entry, ModelResponded)  # noqa: S101  (what is recorded under the number of a step)
    return entry


async def _answer(run: TurnRun, step: int, extra: Sequence[Block]) -> ModelResponse:
    """Ask the model; when it says that a request was too long which should have fit, ask again with less."""
    attempt = 0
    while True:
        await make_room(run, f"compact/{step}.{attempt}" if attempt else f"compact/{step}", step, *extra)
        run.during = "a model call"
        packed = run.pack(*extra)
        check_request(run, packed.tokens, _output_tokens(run))
        request = _request(run, packed)
        try:
            response, by = await _through_policies(run, request, packed)
        except ContextOverflow:
            run.about.counting.overflowed(packed)
            attempt += 1
            if attempt > _SMALLER or not run.can_shrink(*extra):
                raise
        else:
            if by is run.parts.model and response.usage.requests == 1:
                run.about.counting.observe(request, packed, run.about.counter, response.usage)
            return response


_SMALLER = 3
"""How often a request is made again with less in it."""


async def _through_policies(run: TurnRun, request: ModelRequest, packed: Packed) -> tuple[ModelResponse, Model]:
    """Return the answer, and who gave it. Raises what the policies do."""
    parts, masks, emit, progress = run.parts, run.about.masks, run.emit, request.progress
    text = progress.text
    answered_by = parts.model

    async def make(call: Call) -> ModelResponse:
        nonlocal answered_by
        model = call.model or parts.model
        asked = replace(request, deadline=call.deadline, progress=call.progress)
        response = await model.respond(asked, call.emit)
        if masks is not None:  # before anybody else gets to see it
            response = await masks.written(response)
        answered_by = model
        return response

    def show(delta: Delta) -> None:
        progress.started = True
        progress.beats += 1
        if delta.kind != "reasoning_token":
            text.append(delta.text)
        emit(delta)

    try:
        response = await through(parts.policies, _model_call(run, packed, progress, show), make)
    except BaseException:
        if progress.started:  # what is not stored must not stand as the answer
            emit(TextRetracted(text=progress.retract()))
        raise
    return response, answered_by


def _model_call(run: TurnRun, packed: Packed, progress: Progress, show: Callable[[Delta], None]) -> Call:
    parts, about = run.parts, run.about
    model = parts.model
    return Call(
        kind="model",
        name=model.name,
        upstream=upstream_of(model),
        effect="read",  # asking again costs, and does nothing else
        deadline=about.deadline,
        user=about.user,
        run=run.id,
        prompt_tokens=packed.tokens,
        output_tokens=_output_tokens(run),
        priority=about.priority,
        model=model,
        streams=about.stream,
        emit=show,
        notify=run.emit,
        progress=progress,
        usage=_usage_of,
    )


def _output_tokens(run: TurnRun) -> int:
    """Return what an answer takes at most."""
    settings = run.parts.settings
    return settings.model.max_output_tokens or settings.window.reserved_output


def _usage_of(response: ModelResponse) -> Usage:
    return response.usage


def _request(run: TurnRun, packed: Packed) -> ModelRequest:
    parts = run.parts
    return ModelRequest(
        instructions=parts.instructions,
        items=packed.items,
        tools=run.catalog.listed,
        output=run.about.output_schema,
        settings=parts.settings.model,
        stream=run.about.stream,
        deadline=run.about.deadline,
    )


async def _repair(run: TurnRun, error: OutputInvalid) -> DeveloperMessage:
    output, masks = run.parts.output, run.about.masks
    assert output is not None  # noqa: S101  (plain text is never invalid)
    problems = error.problems if masks is None else await masks.words(error.problems)
    schema = json.dumps(output.schema.schema, ensure_ascii=False, default=dict)
    return DeveloperMessage(text=_REPAIR.format(problems=problems, schema=schema))


def _block(prompt: DeveloperMessage, counter: TokenCounter) -> Block:
    return Block(items=(prompt,), tokens=text_tokens(prompt.text, counter))


def _with_call_ids(items: tuple[OutputItem, ...], prefix: str) -> tuple[OutputItem, ...]:
    """Give calls an id where the server gave none or gave one twice."""
    ids = [item.call_id for item in items if isinstance(item, ToolCall)]
    if all(ids) and len(set(ids)) == len(ids):
        return items
    seen: set[str] = set()
    named: list[OutputItem] = []
    for index, item in enumerate(items):
        if isinstance(item, ToolCall):
            if not item.call_id or item.call_id in seen:
                item = replace(item, call_id=f"{prefix}_{index}", raw=None)  # noqa: PLW2901  (the named twin)
            seen.add(item.call_id)
        named.append(item)
    return tuple(named)


async def _completed(run: TurnRun, response: ModelResponded) -> Result[Any]:
    text, refusal, masks = _text(response), _refusal(response), run.about.masks
    if run.parts.output is None:
        output: Any = text
    elif refusal is not None:
        raise OutputInvalid(refusal, "the model refused to answer")
    else:
        output = run.parts.output.parse(text if masks is None else await masks.answer(text))
    return _result(run, response, output=output)


def _paused(run: TurnRun, response: ModelResponded, waiting: Sequence[ToolCall]) -> Result[Any]:
    for call in waiting:
        arguments, digest = parsed_arguments(call.arguments), call_digest(call.name, call.arguments)
        run.tell(ApprovalRequired(call_id=call.call_id, tool=call.name, arguments=arguments, digest=digest))
    return replace(_result(run, response, output=None), status="waiting")


def _result(run: TurnRun, response: ModelResponded, *, output: Any) -> Result[Any]:
    return Result(
        output=output,
        text=_text(response),
        refusal=_refusal(response),
        finish=response.finish,
        messages=tuple(item for block in run.current.blocks for item in block.items),
        usage=usage_of(run.entries),
        tool_calls=calls_of(run.entries),
        turn=run.id,
        conversation=run.about.conversation,
    )


def _text(response: ModelResponded) -> str:
    return "".join(item.text for item in response.items if isinstance(item, AssistantMessage))


def _refusal(response: ModelResponded) -> str | None:
    said = [item.refusal for item in response.items if isinstance(item, AssistantMessage) and item.refusal]
    return "".join(said) or None
