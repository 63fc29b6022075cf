"""Runs and calls are spans and metrics, by the conventions for generative AI."""

import json
from dataclasses import replace

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from assistant_kit.assistant import Assistant
from assistant_kit.errors import ModelUnavailable, ToolError
from assistant_kit.messages import AssistantMessage, File, Image, ProviderItem, Reasoning, Text, ToolAnswer, ToolCall
from assistant_kit.messages import UserMessage as Said
from assistant_kit.observers._conventions import messages_json
from assistant_kit.observers.observing import observed
from assistant_kit.observers.opentelemetry import OpenTelemetryObserver
from assistant_kit.policies.retry import Retry
from assistant_kit.protocols.observer import ToolAnswered
from assistant_kit.settings import Settings
from assistant_kit.testing.conformance.observer import notices
from assistant_kit.testing.scripted_model import Call, CallTools, Delay, Fail, Say, ScriptedModel
from assistant_kit.toolsets.functions import tool
from assistant_kit.usage import Usage
from tests.observers.collected import Collected

pytestmark = pytest.mark.anyio
USED = Usage(requests=1, input_tokens=100, output_tokens=10, cached_tokens=40, reasoning_tokens=4)


def span_of(collected: Collected, name: str) -> ReadableSpan:
    (found,) = (span for span in collected.all if span.name == name)
    return found


def attributes_of(collected: Collected, name: str) -> dict[str, object]:
    return dict(span_of(collected, name).attributes or {})


async def test_a_call_of_a_model_is_a_span_of_a_client() -> None:
    collected = Collected()
    model = ScriptedModel([Say("Yes.", usage=USED)], name="openai:m")

    async with Assistant(model, policies=observed([], collected.observer())).stream("Hello", user="ann") as run:
        await run.result()

    assert span_of(collected, "chat m").kind == SpanKind.CLIENT
    found = attributes_of(collected, "chat m")
    assert isinstance(found.pop("gen_ai.response.time_to_first_chunk"), float)
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 8192,
        "gen_ai.response.model": "openai:m",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.reasoning.output_tokens": 4,
    }


async def test_a_call_that_fails_is_an_error_by_its_class_and_the_retry_is_another_span() -> None:
    collected = Collected()
    model = ScriptedModel([Fail(ModelUnavailable("words of the server", model="m")), "Yes."], name="m")
    policies = observed([Retry(attempts=2, base=0)], collected.observer())

    await Assistant(model, policies=policies).run("Hello")

    first, second, whole = collected.all
    assert (first.name, second.name, whole.name) == ("chat m", "chat m", "invoke_agent assistant")
    assert (first.status.status_code, first.status.description) == (StatusCode.ERROR, None)
    assert (first.attributes or {})["error.type"] == "ModelUnavailable"
    assert second.status.status_code == whole.status.status_code == StatusCode.UNSET
    (event,) = whole.events
    assert event.name == "call_retried"
    assert (event.attributes or {})["assistant_kit.error"] == "ModelUnavailable"
    assert (event.attributes or {})["assistant_kit.attempt"] == 2


@tool(effect="read")
def look(what: str) -> str:
    """Look."""
    return f"seen {what} by {trace.get_current_span().get_span_context().span_id}"


@tool
def refuse(what: str) -> str:
    """Refuse."""
    raise ToolError(what)


async def test_what_a_tool_does_stands_below_its_span_also_side_by_side_and_in_threads() -> None:
    collected = Collected()
    calls = [Call("look", {"what": str(number)}) for number in range(5)]
    model = ScriptedModel([CallTools(*calls), "Seen."], name="m")
    policies = observed([Retry()], collected.observer())

    result = await Assistant(model, tools=[look], policies=policies).run("Look")

    spans = {span.context.span_id: span for span in collected.all if span.context is not None}
    for call in result.tool_calls:
        inside = spans[int(call.text.rpartition(" ")[2])]
        assert inside.name == "execute_tool look"
        assert inside.parent is not None
        assert spans[inside.parent.span_id].name == "invoke_agent assistant"
    assert len({call.text for call in result.tool_calls}) == 5
    assert len({span.context.trace_id for span in collected.all if span.context is not None}) == 1


async def test_an_assistant_inside_of_a_tool_stands_below_the_tool() -> None:
    collected = Collected()
    observer = collected.observer()
    inside, outside = observed([], observer), observed([], observer)
    inner = Assistant(ScriptedModel(["Inside."], name="inner"), settings=Settings(name="assistant"), policies=inside)

    @tool(effect="read")
    async def ask(what: str) -> str:
        """Ask."""
        return (await inner.run(what)).output

    model = ScriptedModel([CallTools(Call("ask", {"what": "it"})), "Outside."], name="outer")
    await Assistant(model, tools=[ask], policies=outside).run("Hello")

    assert collected.tree() == {
        ("chat inner", "invoke_agent assistant"),
        ("invoke_agent assistant", "execute_tool ask"),
        ("execute_tool ask", "invoke_agent assistant"),
        ("chat outer", "invoke_agent assistant"),
        ("invoke_agent assistant", None),
    }
    assert len(collected.all) == 6


async def test_runs_at_once_do_not_get_into_each_others_traces() -> None:
    collected = Collected()
    policies = observed([], collected.observer())

    async def one(number: int) -> None:
        model = ScriptedModel([CallTools(Call("look", {"what": "it"})), "Seen."], name=f"m{number}")
        await Assistant(model, tools=[look], policies=policies).run("Look")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(one, number)

    by_id = {span.context.span_id: span for span in collected.all if span.context is not None}
    for span in collected.all:
        if span.name.startswith("chat m"):
            assert span.parent is not None
            whole = by_id[span.parent.span_id]
            assert (whole.attributes or {})["gen_ai.request.model"] == span.name.removeprefix("chat ")
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_after_a_run_the_span_of_its_caller_is_the_current_one_again() -> None:
    collected = Collected()
    policies = observed([], collected.observer())
    tracer = trace.get_tracer("test")
    model = ScriptedModel([Fail(ValueError("bad")), Delay(3600, "late")], name="m")
    assistant = Assistant(model, policies=policies)

    with tracer.start_as_current_span("outside") as outside:
        with pytest.raises(ValueError, match="bad"):
            await assistant.run("Hello")
        assert trace.get_current_span() is outside
        with anyio.move_on_after(0.01):
            await assistant.run("Hello")
        assert trace.get_current_span() is outside

    failed, cancelled = (span for span in collected.all if span.name == "invoke_agent assistant")
    assert (failed.status.status_code, (failed.attributes or {})["error.type"]) == (StatusCode.ERROR, "ValueError")
    assert (cancelled.status.status_code, (cancelled.attributes or {})["assistant_kit.status"]) == (
        StatusCode.UNSET,
        "cancelled",
    )


async def test_a_header_that_is_sent_from_a_tool_names_the_span_of_the_tool() -> None:
    collected = Collected()
    sent: dict[str, str] = {}

    @tool(effect="read")
    def fetch() -> str:
        """Fetch."""
        TraceContextTextMapPropagator().inject(sent)
        return "done"

    model = ScriptedModel([CallTools(Call("fetch")), "Done."], name="m")
    await Assistant(model, tools=[fetch], policies=observed([], collected.observer())).run("Fetch")

    context = span_of(collected, "execute_tool fetch").context
    assert context is not None
    assert sent["traceparent"].split("-")[2] == f"{context.span_id:016x}"


async def test_a_tool_that_reports_a_failure_is_an_error() -> None:
    collected = Collected()
    model = ScriptedModel([CallTools(Call("refuse", {"what": "no"})), "No."], name="m")

    await Assistant(model, tools=[refuse], policies=observed([], collected.observer())).run("Hello")

    found = attributes_of(collected, "execute_tool refuse")
    found.pop("gen_ai.tool.call.id", None)
    assert found == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "refuse",
        "gen_ai.tool.type": "function",
        "assistant_kit.outcome": "error",
        "error.type": "ToolError",
    }
    (point,) = collected.points()["gen_ai.execute_tool.duration"]
    assert dict(point.attributes or {}) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "refuse",
        "error.type": "ToolError",
    }


def test_a_run_with_all_that_is_told_of_it() -> None:
    collected = Collected()
    observer = collected.observer(users=True)
    for notice in notices("x"):
        observer.observe(notice)

    assert attributes_of(collected, "invoke_agent x") == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "x",
        "gen_ai.agent.name": "x",
        "gen_ai.conversation.id": "x",
        "gen_ai.usage.input_tokens": 90,
        "gen_ai.usage.output_tokens": 9,
        "assistant_kit.status": "completed",
        "user.id": "x",
    }
    answered = [span for span in collected.all if span.name == "chat x"][1]
    assert (answered.attributes or {})["server.address"] == "api.example.com"
    assert (answered.attributes or {})["server.port"] == 8443
    assert attributes_of(collected, "execute_tool x")["gen_ai.tool.type"] == "extension"
    assert attributes_of(collected, "execute_tool x")["gen_ai.tool.call.id"] == "c1"
    assert [event.name for event in span_of(collected, "invoke_agent x").events] == [
        "call_delayed",
        "call_retried",
        "model_replaced",
        "tool_answered",
        "approval_asked",
        "compacted",
    ]


def test_metrics_have_the_names_units_and_buckets_that_are_prescribed() -> None:
    collected = Collected()
    observer = collected.observer()
    for notice in notices("x"):
        observer.observe(notice)

    points = collected.points()
    seconds = tuple(0.01 * 2**power for power in range(14))
    assert set(points) == {
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.token.usage",
        "gen_ai.execute_tool.duration",
        "gen_ai.invoke_agent.duration",
    }
    for name, found in points.items():
        bounds = tuple(4**power for power in range(14)) if name == "gen_ai.client.token.usage" else seconds
        assert {tuple(point.explicit_bounds) for point in found} == {bounds}
    tokens = {(point.attributes or {})["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]}
    assert tokens == {"input": 90, "output": 9}
    failed, answered = sorted(points["gen_ai.client.operation.duration"], key=lambda point: point.sum)
    assert (failed.attributes or {})["error.type"] == "ModelUnavailable"
    assert dict(answered.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "x",
        "gen_ai.response.model": "x",
        "server.address": "api.example.com",
        "server.port": 8443,
    }
    (agent,) = points["gen_ai.invoke_agent.duration"]
    assert (agent.attributes or {})["gen_ai.agent.name"] == "x"


async def test_content_is_in_spans_where_that_is_asked_for() -> None:
    collected = Collected()
    policies = observed([], collected.observer(content=True))
    model = ScriptedModel([CallTools(Call("look", {"what": "it"})), "Seen."], name="m")

    await Assistant(model, tools=[look], policies=policies).run("Look")

    whole = attributes_of(collected, "invoke_agent assistant")
    assert json.loads(str(whole["gen_ai.input.messages"])) == [
        {"role": "user", "parts": [{"type": "text", "content": "Look"}]}
    ]
    roles = [message["role"] for message in json.loads(str(whole["gen_ai.output.messages"]))]
    assert roles == ["user", "assistant", "tool", "assistant"]
    said = [(span.attributes or {})["gen_ai.output.messages"] for span in collected.all if span.name == "chat m"]
    assert json.loads(str(said[1])) == [{"role": "assistant", "parts": [{"type": "text", "content": "Seen."}]}]
    assert "seen it" in json.loads(str(attributes_of(collected, "execute_tool look")["gen_ai.tool.call.result"]))


def test_messages_have_the_form_of_the_conventions() -> None:
    items = (
        Said(content=(Text(text="This?"), Image(data=b"x", media_type="image/png"), File(url="https://x.example/a"))),
        Reasoning(text="hm"),
        Reasoning(raw="{}"),
        ProviderItem(type="web_search", raw="{}"),
        ToolCall(call_id="1", name="look", arguments="{}"),
        ToolAnswer(call_id="1", content=(Text(text="seen"),)),
        AssistantMessage(text="", refusal="No."),
    )
    assert json.loads(messages_json(items)) == [
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": "This?"},
                {"type": "uri", "modality": "image", "uri": "", "mime_type": "image/png"},
                {"type": "uri", "modality": "file", "uri": "https://x.example/a"},
            ],
        },
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "look", "arguments": "{}"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "seen"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "No."}]},
    ]


def test_an_address_without_a_known_port_has_none() -> None:
    collected = Collected()
    observer = collected.observer()
    asked = [notice for notice in notices("x") if notice.kind == "model_call_began"]
    for number, upstream in enumerate(("x at https://a.example/v1", "x at grpc://b.example", "x")):
        observer.observe(replace(asked[0], span=number, upstream=upstream))
    for notice in notices("x"):
        if notice.kind == "model_call_ended":
            for number in reversed(range(3)):
                observer.observe(replace(notice, began=replace(asked[0], span=number)))
            break

    found = [dict(span.attributes or {}) for span in collected.all]
    assert [(it.get("server.address"), it.get("server.port")) for it in found] == [
        (None, None),
        ("b.example", None),
        ("a.example", 443),
    ]


def test_what_belongs_to_no_span_does_no_harm() -> None:
    OpenTelemetryObserver().observe(ToolAnswered(run="r", tool="look", call_id="1", outcome="ok"))
