"""The names of OpenTelemetry's conventions for generative AI, and how messages look by them.

Source: github.com/open-telemetry/semantic-conventions-genai, as of schema 1.42.0. All of them are still in development;
the constants of opentelemetry-semantic-conventions are marked as moved, so the names stand here.
"""

import json
from collections.abc import Sequence
from typing import Final

from assistant_kit.messages import (
    AssistantMessage,
    Item,
    Json,
    JsonObject,
    Part,
    Reasoning,
    Text,
    ToolAnswer,
    ToolCall,
    UserMessage,
    text_of,
)

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
AGENT: Final = "gen_ai.agent.name"
CONVERSATION: Final = "gen_ai.conversation.id"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105  (the name of an attribute)
TOOL: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL: Final = "gen_ai.tool.call.id"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
ERROR: Final = "error.type"
SERVER: Final = "server.address"
PORT: Final = "server.port"
USER: Final = "user.id"

CALL_DURATION: Final = "gen_ai.client.operation.duration"
CALL_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105  (the name of a metric)
TOOL_DURATION: Final = "gen_ai.execute_tool.duration"
AGENT_DURATION: Final = "gen_ai.invoke_agent.duration"

SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
"""The bounds that the conventions prescribe for durations, from 10 ms to 82 s."""
TOKENS: Final = tuple(4**power for power in range(14))
"""The bounds that they prescribe for tokens, from 1 to 67 million."""


def provider_and_model(name: str) -> tuple[str, str]:
    """Return the provider of a model and the model's own name; a model without a provider is a provider of its own."""
    provider, _, model = name.partition(":")
    return (provider, model) if model else ("_OTHER", name)


def messages_json(items: Sequence[Item]) -> str:
    """Return items as messages in the JSON of the conventions; reasoning that cannot be read is left out."""
    return json.dumps([message for item in items if (message := _message(item)) is not None], ensure_ascii=False)


def parts_json(content: Sequence[Part]) -> str:
    """Return the content of a tool's result: its text."""
    return json.dumps(text_of(content), ensure_ascii=False)


def _message(item: Item) -> JsonObject | None:
    match item:
        case UserMessage():
            return _said("user", *map(_part, item.content))
        case AssistantMessage():
            return _said("assistant", {"type": "text", "content": item.text or item.refusal or ""})
        case ToolCall():
            asked = {"type": "tool_call", "id": item.call_id, "name": item.name, "arguments": item.arguments}
            return _said("assistant", asked)
        case ToolAnswer():
            answer = {"type": "tool_call_response", "id": item.call_id, "response": text_of(item.content)}
            return _said("tool", answer)
        case Reasoning():
            return _said("assistant", {"type": "reasoning", "content": item.text}) if item.text else None
        case _:
            return None


def _said(role: str, *parts: JsonObject) -> JsonObject:
    return {"role": role, "parts": parts}


def _part(part: Part) -> JsonObject:
    """Return a part; of pictures and files no more than what they are: they have no place in a trace."""
    if isinstance(part, Text):
        return {"type": "text", "content": part.text}
    shown: dict[str, Json] = {"type": "uri", "modality": part.kind, "uri": part.url or ""}
    return shown | ({} if part.media_type is None else {"mime_type": part.media_type})
