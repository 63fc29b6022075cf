"""What each part of a request costs in tokens: what OpenAI's models read, counted as it stands or a little higher.

Text is counted by a token counter; what stands around it when a provider renders a request for its model is counted
as a fixed number of tokens. Both of OpenAI's published formats are covered: the accounting of Chat Completions
(https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken) and the Harmony format of
https://github.com/openai/harmony, which is the longer one nearly everywhere. Call ids are left out: these formats do
not show them to the model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast, get_args

from assistant_kit.media_tokens import file_tokens, image_tokens
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    Image,
    Item,
    OutputItem,
    Part,
    ProviderItem,
    Reasoning,
    Text,
    ToolAnswer,
    ToolCall,
    UserMessage,
)
from assistant_kit.protocols.model import ModelRequest, OutputSchema
from assistant_kit.protocols.token_counter import TokenCounter, tokens_in
from assistant_kit.tool_rendering import compact, rendered
from assistant_kit.tool_spec import HostedTool, ToolSpec

MESSAGE = 4  # <|start|> role <|message|> … <|end|>
ASSISTANT = 6  # the same, and a channel; so is reasoning
PART = 2  # a part beside the first: texts that are joined take up to 2 tokens more than one by one (measured)
CALL = 13  # <|start|>assistant to=functions.NAME<|channel|>commentary <|constrain|>json<|message|>…<|call|>
ANSWER = 10  # <|start|>functions.NAME to=assistant<|channel|>commentary<|message|>…<|end|>
ANSWER_MEDIA = 24  # Chat Completions takes pictures in user messages only: one more message, and its caption
HOSTED_TOOL = 500  # an allowance: providers do not say how they describe their own tools to the model
SCHEMA = 9  # the headings around the schema of the output


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a format adds to a request as a whole, in tokens.

    `reply` opens the answer and heads the instructions, `tools` stands around the list of tools, and `bare` is what is
    missing for a message that holds tools or a schema and no instructions.
    """

    reply: int
    tools: int
    bare: int = 0


CHAT = Frame(reply=3, tools=12, bare=4)  # as published for gpt-3.5, gpt-4 and gpt-4o
HARMONY = Frame(reply=5, tools=14)  # what heads the instructions is `bare` where there are none
REPLY, TOOLS = HARMONY.reply, HARMONY.tools


def frame_of(model: str) -> Frame:
    """Return the format of a model by its name; that of Harmony, which is longer, when it is not known."""
    name = model.lower().removeprefix("openai:").removeprefix("ft:")
    return CHAT if name.startswith(("gpt-3.5", "gpt-4", "chatgpt-4o")) else HARMONY


def content_tokens(content: Sequence[Part], counter: TokenCounter) -> int:
    """Return the tokens of a message's parts."""
    return PART * max(0, len(content) - 1) + sum(_part_tokens(part, counter) for part in content)


def text_tokens(text: str, counter: TokenCounter) -> int:
    """Return the tokens of a message that is a plain text, such as instructions."""
    return MESSAGE + tokens_in(text, counter)


def message_tokens(content: Sequence[Part], counter: TokenCounter) -> int:
    """Return the tokens of a user's message."""
    return MESSAGE + content_tokens(content, counter)


def answer_tokens(tool: str, content: Sequence[Part], counter: TokenCounter) -> int:
    """Return the tokens of the answer of a tool."""
    media = 0 if all(isinstance(part, Text) for part in content) else ANSWER_MEDIA
    return ANSWER + media + tokens_in(f".{tool}", counter) + content_tokens(content, counter)


def output_tokens(items: Sequence[OutputItem], counter: TokenCounter, *, reasoning_tokens: int = 0) -> int:
    """Return the tokens of a model's answer when it is sent back.

    `reasoning_tokens` is what the provider reported for all reasoning of this answer: sent back encrypted, it costs at
    most that again. So reasoning counts as the larger of its text and the report. Without a report, the larger of its
    text and the provider's item as text counts, which holds the reasoning in a longer form.
    """
    reasoning = [item for item in items if isinstance(item, Reasoning)]
    shown = sum(tokens_in(item.text, counter) for item in reasoning)
    hidden = reasoning_tokens or sum(tokens_in(item.raw or "", counter) for item in reasoning)
    thought = ASSISTANT * len(reasoning) + max(shown, hidden) if reasoning else 0
    return thought + sum(_output_item_tokens(item, counter) for item in items)


def tool_tokens(tool: ToolSpec | HostedTool, counter: TokenCounter) -> int:
    """Return the tokens of a tool's description, as OpenAI renders it for its models."""
    if isinstance(tool, HostedTool):
        return HOSTED_TOOL + tokens_in(compact(tool.declaration), counter)
    # What ends the tool before it stands here at the front: there the tokenizer parts the text in any case.
    return tokens_in(f";\n\n{rendered(tool)}", counter)


def schema_tokens(output: OutputSchema, counter: TokenCounter) -> int:
    """Return the tokens of the schema that an answer has to fit."""
    return SCHEMA + tokens_in(output.name, counter) + tokens_in(compact(output.schema), counter)


def request_tokens(request: ModelRequest, counter: TokenCounter, *, frame: Frame = HARMONY) -> int:
    """Return the tokens of a whole request.

    Windows add up what is known of its parts instead; this is for requests that were made by hand, and for counting
    one again by another counter. No report is known for its reasoning, so that counts as `output_tokens` says.
    """
    total = frame.reply
    if request.instructions:
        total += text_tokens(request.instructions, counter)
    elif request.tools or request.output:
        total += frame.bare
    if request.tools:
        total += frame.tools + sum(tool_tokens(tool, counter) for tool in request.tools)
    if request.output is not None:
        total += schema_tokens(request.output, counter)
    return total + _items_tokens(request.items, counter)


def _items_tokens(items: Iterable[Item], counter: TokenCounter) -> int:
    total, tools = 0, dict[str, str]()
    for is_output, group in groupby(items, lambda item: isinstance(item, get_args(OutputItem))):
        if is_output:
            answer = cast("list[OutputItem]", list(group))
            tools |= {item.call_id: item.name for item in answer if isinstance(item, ToolCall)}
            total += output_tokens(answer, counter)
        else:
            given = cast("Iterable[UserMessage | DeveloperMessage | ToolAnswer]", group)
            total += sum(_input_item_tokens(item, tools, counter) for item in given)
    return total


def _input_item_tokens(
    item: UserMessage | DeveloperMessage | ToolAnswer, tools: dict[str, str], counter: TokenCounter
) -> int:
    match item:
        case UserMessage():
            return message_tokens(item.content, counter)
        case DeveloperMessage():
            return text_tokens(item.text, counter)
        case _:
            return answer_tokens(tools.get(item.call_id, ""), item.content, counter)


def _part_tokens(part: Part, counter: TokenCounter) -> int:
    match part:
        case Text():
            return tokens_in(part.text, counter)
        case Image():
            return image_tokens(part)
        case _:
            return MESSAGE + tokens_in(part.filename or "", counter) + file_tokens(part, counter)


def _output_item_tokens(item: OutputItem, counter: TokenCounter) -> int:
    match item:
        case AssistantMessage():
            return ASSISTANT + tokens_in(item.text, counter) + tokens_in(item.refusal or "", counter)
        case ToolCall():
            return CALL + tokens_in(f".{item.name}", counter) + tokens_in(item.arguments, counter)
        case ProviderItem():
            return MESSAGE + tokens_in(item.raw, counter)
        case _:
            return 0  # reasoning is counted as a whole: the provider reports one number
