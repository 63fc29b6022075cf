"""What each part of a request costs in tokens: an upper bound for both of OpenAI's wire formats.

Text is counted by a token counter; what stands around it when a provider renders a request for its model is counted
as a fixed number of tokens. The numbers are those of OpenAI's published formats, rounded up: the accounting of Chat
Completions (https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken) and the Harmony format of
https://github.com/openai/harmony. Call ids are left out: these formats do not show them to the model.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from assistant_kit.media_tokens import file_tokens, image_tokens
from assistant_kit.messages import (
    AssistantMessage,
    Image,
    OutputItem,
    Part,
    ProviderItem,
    Reasoning,
    Text,
    ToolCall,
)
from assistant_kit.protocols.model import OutputSchema
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.tool_spec import HostedTool, ToolSpec

MESSAGE = 4  # <|start|> role <|message|> … <|end|>
ASSISTANT = 6  # the same, and a channel
PART = 2  # a part beside the first: texts that are joined take up to 2 tokens more than one by one (measured)
CALL = 16  # <|start|>assistant<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>…<|call|>
ANSWER = 16  # <|start|>functions.NAME to=assistant<|channel|>commentary<|message|>…<|end|>
ANSWER_MEDIA = 24  # Chat Completions takes pictures in user messages only: one more message, and its caption
REPLY = 3  # a request ends with <|start|>assistant<|message|>
TOOLS = 20  # the headings around the list of tools
TOOL = 8  # what stands around one tool
HOSTED_TOOL = 500  # an allowance: providers do not say how they describe their own tools to the model
SCHEMA = 24  # the headings around the schema of the output
LINE = 2  # a line break in a description becomes a new comment line


def content_tokens(content: Sequence[Part], counter: TokenCounter) -> int:
    """Return the tokens of a message's parts."""
    return PART * max(0, len(content) - 1) + sum(_part_tokens(part, counter) for part in content)


def text_tokens(text: str, counter: TokenCounter) -> int:
    """Return the tokens of a message that is a plain text, such as instructions."""
    return MESSAGE + counter.count(text)


def message_tokens(content: Sequence[Part], counter: TokenCounter) -> int:
    """Return the tokens of a user's message."""
    return MESSAGE + content_tokens(content, counter)


def answer_tokens(tool: str, content: Sequence[Part], counter: TokenCounter) -> int:
    """Return the tokens of the answer of a tool."""
    media = 0 if all(isinstance(part, Text) for part in content) else ANSWER_MEDIA
    return ANSWER + media + counter.count(tool) + content_tokens(content, counter)


def output_tokens(items: Sequence[OutputItem], counter: TokenCounter, *, reasoning_tokens: int = 0) -> int:
    """Return the tokens of a model's answer when it is sent back.

    `reasoning_tokens` is what the provider reported for all reasoning of this answer: sent back encrypted, it costs at
    most that again. So reasoning counts as the larger of its text and the report. Without a report, the larger of its
    text and the provider's item as text counts, which holds the reasoning in a longer form.
    """
    reasoning = [item for item in items if isinstance(item, Reasoning)]
    shown = sum(counter.count(item.text) for item in reasoning)
    hidden = reasoning_tokens or sum(counter.count(item.raw or "") for item in reasoning)
    thought = MESSAGE * len(reasoning) + max(shown, hidden) if reasoning else 0
    return thought + sum(_output_item_tokens(item, counter) for item in items)


def tool_tokens(tool: ToolSpec | HostedTool, counter: TokenCounter) -> int:
    """Return the tokens of a tool's description: its compact JSON, which is longer than what OpenAI makes of it."""
    if isinstance(tool, HostedTool):
        return HOSTED_TOOL + _json_tokens(tool.declaration, counter)
    shape = {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return TOOL + _json_tokens(shape, counter)


def schema_tokens(output: OutputSchema, counter: TokenCounter) -> int:
    """Return the tokens of the schema that an answer has to fit."""
    return SCHEMA + counter.count(output.name) + _json_tokens(output.schema, counter)


def _part_tokens(part: Part, counter: TokenCounter) -> int:
    match part:
        case Text():
            return counter.count(part.text)
        case Image():
            return image_tokens(part)
        case _:
            return MESSAGE + counter.count(part.filename or "") + file_tokens(part, counter)


def _output_item_tokens(item: OutputItem, counter: TokenCounter) -> int:
    match item:
        case AssistantMessage():
            return ASSISTANT + counter.count(item.text) + counter.count(item.refusal or "")
        case ToolCall():
            return CALL + counter.count(item.name) + counter.count(item.arguments)
        case ProviderItem():
            return MESSAGE + counter.count(item.raw)
        case _:
            return 0  # reasoning is counted as a whole: the provider reports one number


def _json_tokens(value: Mapping[str, Any], counter: TokenCounter) -> int:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict)
    return counter.count(text) + LINE * text.count("\\n")
