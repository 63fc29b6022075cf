"""Streams as servers may write them: cut anywhere, spaced anyhow, with fields missing, and with nonsense in them."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.errors import ModelError
from assistant_kit.events import ReasoningToken, RefusalToken, Token
from assistant_kit.messages import AssistantMessage, Item, ProviderItem, Reasoning, ToolCall
from assistant_kit.models.openai import OpenAIChat, OpenAIResponses
from tests.models.openai_asking import BOTH, HI, Asked, Kind, Script, ask, chunk, events, scripted_client

both = pytest.mark.parametrize("kind", BOTH)
SCRIPT = Script()
CLIENT = scripted_client(SCRIPT, "http://scripted.test/v1")  # one for all: making one costs 20 ms
DONE = b"[DONE]"
MORE: list[dict[str, object]] = [{}, {"logprobs": []}, {"nested": {"delta": "x", "content": "x", "type": "y"}}]


def read(kind: Kind, *pieces: bytes, asked: Sequence[Item] = (HI,)) -> Asked:
    """What a model makes of a stream that comes in these pieces."""

    async def main() -> Asked:
        SCRIPT.bodies = [pieces]
        return await ask(kind("m", client=CLIENT), *asked)

    return anyio.run(main)


def responses_stream(
    deltas: Sequence[str], more: Mapping[str, object] = {}, *, number_first: bool = False
) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = [{"type": "response.created", "response": {}}]
    values += [{"type": "response.output_text.delta", "item_id": "msg_1", "delta": d, **more} for d in deltas]
    values.append({"type": "response.completed", "response": {"status": "completed", "model": "m-1"}})
    if number_first:
        return [{"type": value.pop("type"), "sequence_number": n, **value} for n, value in enumerate(values)]
    return [{**value, "sequence_number": n} for n, value in enumerate(values)]


def chat_stream(deltas: Sequence[str], more: Mapping[str, object] = {}) -> list[dict[str, Any]]:
    return [*[chunk({"content": delta}, None, **more) for delta in deltas], chunk({}, "stop", model="m-1")]


def written(values: Sequence[dict[str, Any]], draw: st.DrawFn) -> bytes:
    """A stream of these values, in one of the many ways in which the standard lets it be written."""
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    indent = draw(st.sampled_from([None, 1]))
    ascii_only = draw(st.booleans())
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]))
    space = draw(st.sampled_from(["", " "]))
    lines: list[str] = []
    for value in values:
        text = json.dumps(value, ensure_ascii=ascii_only, separators=separators, indent=indent)
        lines += draw(st.sampled_from([[], [": comment"], ["event: x", "id: 1"], ["", ""], ["data"], ["retry: 3"]]))
        lines += [f"data:{space}{line}" for line in text.split("\n")]
        lines += ["", *draw(st.sampled_from([[], [":", ""], ["event: ping", ""]]))]
    return (draw(st.sampled_from(["", "\ufeff"])) + line_end.join(lines) + line_end).encode()


@st.composite
def written_streams(draw: st.DrawFn) -> tuple[Kind, list[str], list[bytes]]:
    words = st.sampled_from([" plain", " words", "Ü", "🌧️", '"', "\\", "\n", "}", "\x7f", '","delta":"', "\u2028"])
    deltas = draw(st.lists(st.text() | words, max_size=8))
    more: dict[str, object] = draw(st.sampled_from(MORE))
    kind = draw(st.sampled_from(BOTH))
    stream = responses_stream(deltas, more) if kind is OpenAIResponses else chat_stream(deltas, more)
    whole = written(stream, draw) + draw(st.sampled_from([b"", b"data: [DONE]\n\n"]))
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    return kind, deltas, [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


@given(written_streams())
def test_a_stream_is_the_same_however_it_is_written_and_cut(case: tuple[Kind, list[str], list[bytes]]) -> None:
    kind, deltas, pieces = case
    asked = read(kind, *pieces)
    assert [delta.text for delta in asked.deltas] == [delta for delta in deltas if delta]
    assert asked.response.text == "".join(deltas)
    assert asked.response.model == "m-1"


@given(st.sampled_from(BOTH), st.lists(st.sampled_from([" plain", "Ü", "\n", '"', "a\tb", "🌧️ x"]), min_size=1))
def test_a_stream_is_the_same_byte_by_byte_and_event_by_event(kind: Kind, deltas: list[str]) -> None:
    number_first = len(deltas) % 2 == 0
    stream = responses_stream(deltas, number_first=number_first) if kind is OpenAIResponses else chat_stream(deltas)
    whole = b"".join(
        b"event: e\ndata: " + json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"
        for value in stream
    )
    at_once = read(kind, whole)
    assert at_once.response.text == "".join(deltas)
    by_event = [part + b"\n\n" for part in whole.split(b"\n\n") if part]
    for pieces in ([whole[at : at + 1] for at in range(len(whole))], by_event):
        again = read(kind, *pieces)
        assert (again.response, again.deltas) == (at_once.response, at_once.deltas)


@both
def test_a_line_end_of_two_bytes_may_come_in_two_pieces(kind: Kind) -> None:
    stream = responses_stream(["a", "b"]) if kind is OpenAIResponses else chat_stream(["a", "b"])
    texts = [json.dumps(value, indent=1).replace("\n", "\r\ndata: ") for value in stream]
    whole = "".join(f"data: {text}\r\n\r\n" for text in texts).encode()
    asked = read(kind, *re.findall(rb"[^\r]*\r|[^\r]+", whole))  # each piece ends with CR, and the next begins with LF
    assert [delta.text for delta in asked.deltas] == ["a", "b"]


NAMES = """type delta item response output choices message content text tool_calls function name arguments index id
    call_id usage error code status finish_reason summary refusal reasoning input_tokens_details model"""
WORDS = """response.output_item.done response.completed response.output_text.delta error message function_call reasoning
    stop completed response.reasoning_summary_part.added"""


def objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(NAMES.split()), values | st.sampled_from(WORDS.split()), max_size=5)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 600) | st.text(max_size=3) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | objects(inner),
    max_leaves=25,
)


@given(kind=st.sampled_from(BOTH), values=st.lists(json_values, max_size=4), whole=st.booleans())
def test_nonsense_is_an_answer_or_a_model_error_and_nothing_else(kind: Kind, values: list[Any], *, whole: bool) -> None:
    stream = responses_stream(["x"]) if kind is OpenAIResponses else chat_stream(["x"])
    bodies = [events(*stream[:-1], *values, stream[-1]), events(*values), *map(json.dumps, values)]
    SCRIPT.kind = "text/event-stream" if whole else "application/json"
    try:
        for body in bodies:
            try:
                read(kind, body if isinstance(body, bytes) else body.encode())
            except ModelError as error:
                assert error.model == "openai:m"  # noqa: PT017 - an answer is as good
    finally:
        SCRIPT.kind = "text/event-stream"


@both
@pytest.mark.parametrize("spoilt", [b"\xff", b"\xed\xa0\x80"])
def test_a_text_that_is_no_utf8_is_no_answer(kind: Kind, spoilt: bytes) -> None:
    stream = events(*(responses_stream if kind is OpenAIResponses else chat_stream)(["first", "other", "x-x"]))
    with pytest.raises(ModelError):
        read(kind, *[part + b"\n\n" for part in stream.replace(b"x-x", spoilt).split(b"\n\n")])


def test_a_chunk_that_says_more_than_text_is_heard() -> None:
    texts = [chunk({"content": f"{n}"}) for n in range(3)]
    more: list[dict[str, Any]] = [
        chunk({"content": "a", "reasoning": "why"}),
        chunk({"content": "b"}, None, usage={"prompt_tokens": 7}),
        {"choices": [{"index": 1, "delta": {"content": "another"}}, {"index": 0, "delta": {"content": "c"}}]},
        chunk({"content": "d"}, "length"),
    ]
    for extra in more:
        stream = [json.dumps(value, separators=(",", ":")).encode() for value in (extra, *texts, extra, *texts)]
        asked = read(OpenAIChat, *[events(value) for value in (*stream, DONE)])
        letter = {"a": "a", "b": "b", "d": "d"}.get(extra["choices"][0]["delta"]["content"], "c")
        assert asked.response.text == f"{letter}012" * 2
        assert asked.thought == ("whywhy" if letter == "a" else "")
        assert asked.response.usage.input_tokens == (7 if letter == "b" else 0)
        assert asked.response.finish == ("length" if letter == "d" else "stop")


@both
@pytest.mark.parametrize("number_first", [True, False])
def test_a_long_stream_counts_its_events_in_more_and_more_digits(kind: Kind, *, number_first: bool) -> None:
    words = [f" w{n}" if n % 5 else " \n" for n in range(1200)]
    stream = responses_stream(words, number_first=number_first) if kind is OpenAIResponses else chat_stream(words)
    asked = read(kind, *[events(value) for value in stream])
    assert [delta.text for delta in asked.deltas] == words


@both
def test_what_comes_after_the_end_does_not_count(kind: Kind) -> None:
    stream = events(*(responses_stream if kind is OpenAIResponses else chat_stream)(["x"]), DONE)
    assert read(kind, stream, b": bye\n\n", b"").response.text == "x"


def test_a_text_that_stands_twice_in_an_event_is_read_by_parsing() -> None:
    twice = [{"type": "response.output_text.delta", "delta": "x", "part": {"delta": "x"}}] * 3
    assert read(OpenAIResponses, events(*twice, {"type": "response.completed"})).response.text == "xxx"


def test_fields_that_change_with_every_event_cost_no_correctness() -> None:
    stream = [chunk({"content": f"w{n} "}, None, id=f"{n * 7919}") for n in range(60)]
    assert read(OpenAIChat, events(*stream, DONE)).response.text == "".join(f"w{n} " for n in range(60))


def calls_of(*pieces: object, asked: Sequence[Item] = (HI,)) -> list[tuple[str, str, str]]:
    stream = [chunk({"tool_calls": piece}) for piece in pieces]
    response = read(OpenAIChat, events(*stream, chunk({}, "stop")), asked=asked).response
    assert response.finish == "tool_calls"
    return [(call.call_id, call.name, call.arguments) for call in response.tool_calls]


def piece(
    arguments: object = None, name: str | None = None, call_id: str | None = None, index: int | None = None
) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    given = {key: value for key, value in (("id", call_id), ("index", index)) if value is not None}
    return {**given, "function": function}


def test_pieces_of_calls_are_put_together_by_index() -> None:
    pieces = [[piece("", "f", "a", 0)], [piece("", "g", "b", 1)], [piece("1", index=1), piece("2", index=0)]]
    assert calls_of(*pieces) == [("a", "f", "2"), ("b", "g", "1")]


def test_pieces_of_calls_without_an_index_go_to_the_newest() -> None:
    assert calls_of([piece("1", "f", "a")], [piece("2")], [piece("3", "g", "b")], [piece("4")]) == [
        ("a", "f", "12"),
        ("b", "g", "34"),
    ]


def test_whole_calls_that_all_have_one_index_are_told_apart_by_their_ids() -> None:
    assert calls_of([piece("1", "f", "a", 0), piece("2", "f", "b", 0)]) == [("a", "f", "1"), ("b", "f", "2")]


def test_calls_without_index_and_id_begin_with_their_name() -> None:
    calls = calls_of([piece('{"a":1}', "f"), piece({"b": [2]}, "g"), piece("", "h"), piece("x")])
    assert [call[1:] for call in calls] == [("f", '{"a":1}'), ("g", '{"b":[2]}'), ("h", "x")]
    assert len({call[0] for call in calls}) == 3


def test_a_name_may_come_in_pieces_or_again_and_again() -> None:
    assert calls_of([piece(None, "get_", "a", 0)], [piece(None, "time", index=0)])[0][1] == "get_time"
    assert calls_of([piece("1", "get", "a", 0)], [piece("2", "get", "a", 0)]) == [("a", "get", "12")]


def test_an_id_that_was_used_before_is_replaced() -> None:
    before = ToolCall(call_id="call_0", name="f", arguments="{}")
    (call,) = calls_of([piece("{}", "f", "call_0", 0)], asked=(HI, before))
    assert call[0] != "call_0"
    assert calls_of([piece("{}", "f", "a", 0), piece("{}", "f", "a", 1)])[1][0] != "a"


def test_reasoning_has_two_names_and_content_may_be_parts() -> None:
    stream: list[dict[str, Any]] = [
        chunk({"role": "assistant", "content": None}),
        chunk({"reasoning_content": "a"}),
        chunk({"reasoning": "b"}),
        chunk({"content": [{"type": "text", "text": "c"}, {"type": "other"}]}),
        {"choices": [], "usage": {"prompt_tokens": 3, "prompt_tokens_details": None}},
    ]
    asked = read(OpenAIChat, events(*stream, DONE))
    assert asked.response.items == (Reasoning(text="ab"), AssistantMessage(text="c"))
    assert asked.deltas == [ReasoningToken("a"), ReasoningToken("b"), Token("c")]
    assert asked.response.usage.input_tokens == 3


def test_a_finish_reason_that_nobody_knows_is_another_one() -> None:
    assert read(OpenAIChat, events(chunk({"content": "x"}, "eos"))).response.finish == "other"
    assert read(OpenAIChat, events(chunk({"content": "x"}), DONE)).response.finish == "stop"


def test_responses_items_come_from_where_the_server_sends_them() -> None:
    message = {"type": "message", "content": [{"type": "output_text", "text": "hi"}, {"type": "x", "refusal": "no"}]}
    search = {"type": "web_search_call", "id": "ws"}
    done = [{"type": "response.output_item.done", "item": item} for item in (message, search)]
    end: dict[str, Any] = {"type": "response.completed", "response": {"output": [message, search]}}
    for stream in ([*done, {"type": "response.completed"}], [end], [*done, end]):
        said, other = read(OpenAIResponses, events(*stream)).response.items
        assert isinstance(said, AssistantMessage)
        assert isinstance(other, ProviderItem)
        assert (said.text, said.refusal, other.type) == ("hi", "no", "web_search_call")
    delta = {"type": "response.output_text.delta", "delta": "hi"}
    only_deltas = read(OpenAIResponses, events(delta, done[1], {"type": "response.completed"}, DONE))
    assert [item.kind for item in only_deltas.response.items] == ["assistant", "provider"]


def test_parts_of_a_summary_are_parted() -> None:
    parts = [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]
    stream: list[dict[str, Any]] = []
    for index, part in enumerate(parts):
        stream.append({"type": "response.reasoning_summary_part.added", "summary_index": index})
        stream.append({"type": "response.reasoning_summary_text.delta", "delta": part["text"]})
    stream.append({"type": "response.output_item.done", "item": {"type": "reasoning", "summary": parts}})
    stream.append({"type": "response.refusal.delta", "delta": ""})
    stream.append({"type": "response.reasoning_text.delta", "delta": ""})
    asked = read(OpenAIResponses, events(*stream, {"type": "response.completed"}))
    (thought,) = asked.response.items
    assert isinstance(thought, Reasoning)
    assert thought.text == asked.thought == "a\n\nb"


def test_open_models_show_their_reasoning_as_it_is() -> None:
    item = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    stream: list[dict[str, Any]] = [
        {"type": "response.reasoning_text.delta", "delta": "hm"},
        {"type": "response.refusal.delta", "delta": "no"},
        {"type": "response.output_item.done", "item": item},
        {"type": "response.completed"},
    ]
    asked = read(OpenAIResponses, events(*stream))
    assert [item.text for item in asked.response.items if isinstance(item, Reasoning)] == ["hm"]
    assert asked.deltas == [ReasoningToken("hm"), RefusalToken("no")]


@pytest.mark.parametrize(
    ("end", "finish"),
    [
        ({"type": "response.incomplete"}, "other"),
        ({"type": "response.incomplete", "response": {"incomplete_details": {"reason": "steered"}}}, "other"),
        ({"type": "response.completed", "response": {"incomplete_details": {}}}, "stop"),
    ],
)
def test_an_end_may_say_little(end: dict[str, Any], finish: str) -> None:
    assert read(OpenAIResponses, events(end)).response.finish == finish


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.completed", "response": {"status": "in_progress"}},
        {"type": "response.failed"},
        {"type": "error", "error": {"message": "no"}},
        {"error": {"message": "no"}},
        {"error": "no"},
    ],
)
def test_an_end_that_is_none_is_an_error(event: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        read(OpenAIResponses, events(event))
