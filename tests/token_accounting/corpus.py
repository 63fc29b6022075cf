"""Requests as assistants make them, made up by a seed: conversations of several turns with tools, in many scripts."""

import json
from collections.abc import Iterator
from random import Random

from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    Item,
    Json,
    JsonObject,
    Reasoning,
    Text,
    ToolAnswer,
    ToolCall,
    UserMessage,
)
from assistant_kit.protocols.model import ModelRequest, OutputSchema
from assistant_kit.tool_spec import ToolSpec

_WORDS = """
the a of to and in is for that with on this order customer invoice please could you find refund shipment since yesterday
because temperature forecast Oslo Rome database connection retry between deadline token budget antidisestablishment
running quickly doesn't they're don't I'd it's café naïve Zürich Straße señor 12 3.14 1,250.00 2026-11-22 #4711 €20 50%
e.g. i.e. HTTP/2 JSON snake_case_name camelCaseName kebab-case user@example.com https://example.com/a?b=c&d=1
"""
WORDS = _WORDS.split()
SCRIPTS = (
    "今天奥斯陆的天气怎么样？请查询订单状态。",  # noqa: RUF001
    "明日の会議は何時に始まりますか。",
    "مرحبا، أين طلبي رقم ٤٧١١؟",
    "Где мой заказ? Спасибо за помощь!",
    "मेरा ऑर्डर कहाँ है?",
    "주문 상태를 확인해 주세요.",
    "👩‍👩‍👧‍👦 🚀🔥 naïve façade Ωmega ✓ → ∑",
    "def total(items):\n    return sum(item.price * item.count for item in items)  # in cents\n",
    "| name | price |\n|---|---:|\n| tea | 3.50 |\n",
    "## Heading\n\n- one\n- two\n\t* nested\n\n> quote   \n",
    '{"status":"shipped","items":[{"sku":"A-1","qty":2}],"note":null}',
    "<|start|>user<|message|>not a token<|end|>",
    "   \n\n  trailing spaces   ",
    "\r\nWindows lines\r\n",
)
NOUNS = ("order", "customer", "weather", "calendar_event", "file", "invoice", "route", "ticket", "2fa", "x-ray", "ID")
VERBS = ("get", "list", "create", "update", "search", "_find", "delete", "book")


def corpus(size: int, *, seed: int = 0) -> Iterator[ModelRequest]:
    """Return requests, always the same for a seed."""
    chance = Random(seed)
    for _ in range(size):
        yield _request(chance)


def _request(chance: Random) -> ModelRequest:
    tools = [_tool(chance, number) for number in range(chance.choice((1, 1, 2, 3, 5, 8)))]
    items: list[Item] = []
    for turn in range(chance.randint(1, 5)):
        items += _turn(chance, tools, turn)
    items.append(UserMessage(content=(Text(text=_text(chance, 40)),)))
    output = OutputSchema(name=_name(chance), schema=_object(chance, 2)) if chance.random() < 0.2 else None
    return ModelRequest(
        instructions=_text(chance, 120) if chance.random() < 0.9 else "", items=items, tools=tools, output=output
    )


def _turn(chance: Random, tools: list[ToolSpec], turn: int) -> Iterator[Item]:
    parts = 1 if chance.random() < 0.9 else 3
    yield UserMessage(content=tuple(Text(text=_text(chance, 50)) for _ in range(parts)))
    for step in range(chance.randint(0, 3) if tools else 0):
        if chance.random() < 0.3:
            yield Reasoning(text=_text(chance, 60))
        calls = [
            ToolCall(call_id=f"{turn}.{step}.{n}", name=chance.choice(tools).name, arguments=_arguments(chance))
            for n in range(chance.randint(1, 3))
        ]
        yield from calls
        for call in calls:
            yield ToolAnswer(call_id=call.call_id, content=(Text(text=_result(chance)),))
        if chance.random() < 0.1:
            yield DeveloperMessage(text=_text(chance, 20))
    yield AssistantMessage(text=_text(chance, 80))


def _text(chance: Random, words: int) -> str:
    said = " ".join(chance.choice(WORDS) for _ in range(chance.randint(1, words)))
    said = said.capitalize() + chance.choice((".", "?", "!", "...", "\n", "", ":\n\n", ")", ' "'))
    if chance.random() < 0.4:
        said += chance.choice((" ", "\n", "")) + chance.choice(SCRIPTS)
    return said


def _name(chance: Random) -> str:
    return f"{chance.choice(VERBS)}_{chance.choice(NOUNS)}"


def _value(chance: Random, depth: int = 2) -> Json:
    kind = chance.randint(0, 6 if depth else 4)
    if kind < 2:
        return _text(chance, 6)
    if kind < 5:
        return chance.choice((chance.randint(-1_000, 10_000), round(chance.random() * 100, 2), True, None))
    if kind == 5:
        return [_value(chance, depth - 1) for _ in range(chance.randint(0, 4))]
    return {chance.choice(NOUNS): _value(chance, depth - 1) for _ in range(chance.randint(0, 4))}


def _arguments(chance: Random) -> str:
    value = {chance.choice(NOUNS): _value(chance) for _ in range(chance.randint(0, 4))}
    return json.dumps(value, ensure_ascii=chance.random() < 0.2, separators=chance.choice(((",", ":"), (", ", ": "))))


def _result(chance: Random) -> str:
    if chance.random() < 0.5:
        return _text(chance, 60)
    return json.dumps([_value(chance) for _ in range(chance.randint(1, 6))], ensure_ascii=False)


def _tool(chance: Random, number: int) -> ToolSpec:
    described = "\n".join(_text(chance, 20) for _ in range(chance.choice((0, 1, 1, 1, 3))))
    parameters = dict(_object(chance, 3))
    if chance.random() < 0.1:  # definitions, as pydantic writes them for nested models
        inner: dict[str, Json] = {"$ref": "#/$defs/Address"}
        properties = parameters["properties"]
        assert isinstance(properties, dict)
        properties["address"] = inner
        parameters["$defs"] = {"Address": _object(chance, 0)}
    return ToolSpec(name=f"{_name(chance)}_{number}", description=described, parameters=parameters)


def _object(chance: Random, depth: int) -> JsonObject:
    properties = {
        f"{chance.choice(NOUNS)}_{index}" if chance.random() < 0.5 else f"{chance.choice(NOUNS)}": _schema(
            chance, depth
        )
        for index in range(chance.randint(0, 6))
    }
    required: list[Json] = [name for name in properties if chance.random() < 0.5]
    schema: dict[str, Json] = {"type": "object", "properties": properties, "required": required}
    if chance.random() < 0.5:
        schema["additionalProperties"] = False
    return schema


def _schema(chance: Random, depth: int) -> JsonObject:
    schema: dict[str, Json] = dict(_type(chance, depth))
    if chance.random() < 0.6:
        schema["description"] = _text(chance, 15)
    if chance.random() < 0.2:
        schema["title"] = chance.choice(WORDS).title()
    if chance.random() < 0.2:
        schema["default"] = chance.choice((None, 0, 10, True, "none", 0.5))
    if chance.random() < 0.05:
        schema["examples"] = ["one", "two words", "三"]
    return schema


def _type(chance: Random, depth: int) -> JsonObject:
    kind = chance.randint(0, 12 if depth else 8)
    if kind < 3:
        return {"type": "string"}
    if kind < 5:
        values: list[Json] = [chance.choice(WORDS) for _ in range(chance.randint(1, 6))]
        return {"type": "string", "enum": values}
    if kind < 8:
        return {"type": chance.choice(("integer", "number", "boolean"))}
    if kind == 8:
        return chance.choice(({"type": ["string", "null"]}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}))
    if kind == 9:
        return {"oneOf": [_schema(chance, 0), _schema(chance, 0)]}
    if kind == 10:
        return {"type": "array", "items": _schema(chance, depth - 1)}
    return _object(chance, depth - 1)
